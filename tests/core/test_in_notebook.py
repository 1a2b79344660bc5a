"""Cells of a real notebook: what they show of a tracker, and where its log lines appear."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="the notebook tests need nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="the notebook tests need nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat")

pytestmark = pytest.mark.slow

MAKE = (
    "from carbon_callbacks import EmissionsTracker\n"
    "tracker = EmissionsTracker(country_iso_code='Poland', project_name='<b>mine', "
    "electricitymaps_zone='XX-9')"
)


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs cells in a new kernel, and returns the outputs of each."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))

    def run(*sources: str) -> list[list[dict[str, Any]]]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
        return [cell["outputs"] for cell in notebook.cells]

    return run


def data(outputs: list[dict[str, Any]]) -> dict[str, str]:
    """Return the value of a cell by MIME type."""
    (result,) = [one for one in outputs if one["output_type"] == "execute_result"]
    found: dict[str, str] = result["data"]
    return found


def text(outputs: list[dict[str, Any]], stream: str) -> str:
    return "".join(one["text"] for one in outputs if one.get("name") == stream)


def test_values_of_cells_are_tables_and_lines(cells: Any) -> None:
    _, new, started, running, window, task, stopped, report = cells(
        MAKE,
        "tracker",
        "tracker.start()",
        "tracker.window('load')\ntracker",
        "with tracker.window('load') as window:\n    sum(range(10**6))\nwindow",
        "tracker.start_task('first')\ntracker.stop_task()",
        "tracker.stop()\ntracker",
        "tracker.final_report",
    )
    assert data(new)["text/plain"] == "EmissionsTracker(not started)"
    assert "not started" in data(new)["text/html"]
    assert not [one for one in started if one["output_type"] == "error"]
    for outputs, state in [
        (running, "&lt;b&gt;mine, running for "),
        (window, "load: "),
        (task, "&lt;b&gt;mine, "),
        (stopped, "&lt;b&gt;mine, completed after "),
        (report, "&lt;b&gt;mine, completed after "),
    ]:
        html = data(outputs)["text/html"]
        assert html.startswith("<table ")
        assert state in html
    assert data(stopped)["text/plain"].startswith("EmissionsTracker(<b>mine, completed after ")
    assert "\n" not in data(report)["text/plain"]


def test_information_is_no_error_output(cells: Any) -> None:
    _, ran = cells(MAKE, "with tracker:\n    pass")
    assert "completed after" in text(ran, "stdout")
    assert "electricitymaps_zone 'XX-9'" in text(ran, "stderr")  # a warning
    assert "completed after" not in text(ran, "stderr")


def test_a_front_end_that_adds_a_handler_does_not_hide_the_lines(cells: Any) -> None:
    # As Colab does.
    handler = "import logging\nlogging.getLogger().addHandler(logging.StreamHandler())\n"
    _, ran = cells(handler + MAKE, "with tracker:\n    pass")
    assert "completed after" in text(ran, "stdout")


def test_a_program_that_sets_a_level_decides(cells: Any) -> None:
    level = "import logging\nlogging.basicConfig(level=logging.ERROR)\n"
    _, ran = cells(level + MAKE, "with tracker:\n    pass")
    assert ran == []
