"""A project without a name is shown as the working directory; files keep CodeCarbon's default."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from carbon_core import EmissionsTracker, Report
from carbon_core.config.schema import default_of
from carbon_core.outputs.history import PastRun, read
from carbon_core.run_facts import DEFAULT_PROJECT, project_label


def run_in(directory: Path, **settings: str) -> Report:
    """Return the report of a short run in a directory."""
    directory.mkdir(exist_ok=True)
    os.chdir(directory)
    with EmissionsTracker(country_iso_code="FRA", log_level="ERROR", **settings) as tracker:
        pass
    report = tracker.final_report
    assert report is not None
    return report


@pytest.fixture(autouse=True)
def _back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # restored at the end


def labels(path: Path) -> list[str]:
    return [one.project_label for one in read([path]) if isinstance(one, PastRun)]


def test_the_default_is_the_one_of_the_settings() -> None:
    assert default_of("project_name") == DEFAULT_PROJECT


@pytest.mark.parametrize(
    ("name", "directory", "is_set", "label"),
    [
        ("codecarbon", "digits", False, "digits (default)"),
        ("codecarbon", "digits", True, "codecarbon"),
        ("mine", "digits", False, "mine"),
        ("codecarbon", "", False, "default project"),
        ("", "digits", True, ""),
    ],
)
def test_a_name_that_was_chosen_stays(name: str, directory: str, is_set: bool, label: str) -> None:
    assert project_label(name, directory, is_set=is_set) == label


def test_a_run_without_a_name_is_shown_as_its_directory(tmp_path: Path) -> None:
    report = run_in(tmp_path / "digits")
    assert report.run.project_label == "digits (default)"
    assert "digits (default)" in report._repr_html_()
    assert labels(tmp_path / "digits") == ["digits (default)"]
    with Path("emissions.csv").open(newline="") as file:
        assert [row["project_name"] for row in csv.DictReader(file)] == ["codecarbon"]


def test_the_directory_of_the_results_may_be_another(tmp_path: Path) -> None:
    run_in(tmp_path / "digits", output_dir="results")
    assert labels(tmp_path / "digits/results") == ["digits (default)"]


def test_a_name_that_equals_the_default_may_be_chosen(tmp_path: Path) -> None:
    assert run_in(tmp_path / "digits", project_name="codecarbon").run.project_label == "codecarbon"
    assert labels(tmp_path / "digits") == ["codecarbon"]


def test_files_of_older_versions_have_the_directory_that_they_lie_in(tmp_path: Path) -> None:
    run_in(tmp_path / "digits")
    (found,) = Path("carbon_runs").glob("*.receipt.json")
    data = json.loads(found.read_text())
    del data["run"]["directory"]
    found.write_text(json.dumps(data))
    (tmp_path / "digits").rename(tmp_path / "letters")
    assert labels(tmp_path / "letters") == ["letters (default)"]
    os.chdir(tmp_path / "letters")
    assert labels(Path()) == ["letters (default)"]
    assert labels(Path("emissions.csv")) == ["letters (default)"]


def test_a_home_directory_has_the_name_of_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "alice"))
    run = run_in(tmp_path / "alice").run
    assert (run.directory, run.project_label) == ("~", "~ (default)")
    assert labels(tmp_path / "alice") == ["~ (default)"]
