"""A report of a directory includes those below it: bounded, without end in loops, and without noise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from core.cli.conftest import kept
from core.outputs.conftest import report_of

from carbon_core.outputs import history
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.result_directories import Search


def run_ids(directory: Path) -> set[str]:
    found = list(read([directory]))
    assert [one for one in found if isinstance(one, Skipped)] == []
    return {one.run_id for one in found if isinstance(one, PastRun)}


def test_runs_of_sub_directories_are_found(tmp_path: Path) -> None:
    kept(tmp_path, 1.0, project="top")
    kept(tmp_path / "sweep" / "trial-1", 1.0, project="deep")
    (tmp_path / "old").mkdir()
    rows = CsvFile(tmp_path / "old" / "emissions.csv", tmp_path / "lock")
    rows.append(emissions_data(report_of("only-a-row")))
    assert run_ids(tmp_path) == {"top-0", "deep-0", "only-a-row"}
    assert run_ids(tmp_path / "sweep" / "trial-1" / "carbon_runs") == {"deep-0"}


def test_data_and_directories_of_programs_are_not_read(tmp_path: Path) -> None:
    kept(tmp_path / "run", 1.0)
    for name in (".venv", "node_modules"):
        kept(tmp_path / name, 1.0, project="other")
    for i in range(50):
        (tmp_path / "run" / f"table-{i}.csv").write_text("a,b\n1,2\n")
    assert run_ids(tmp_path) == {"digits-0"}


def test_a_loop_of_links_ends_and_each_run_counts_once(tmp_path: Path) -> None:
    kept(tmp_path / "one", 1.0)
    os.symlink(tmp_path, tmp_path / "one" / "back")
    os.symlink(tmp_path / "one", tmp_path / "again")
    os.symlink(tmp_path / "absent", tmp_path / "broken")
    assert run_ids(tmp_path) == {"digits-0"}
    assert len(list(Search(tmp_path).found())) == 1


def test_too_many_directories_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        kept(tmp_path / f"{i:02}", 1.0, project=f"run-{i:02}")
    search = Search(tmp_path, most=5)
    assert len(list(search.found())) == 4
    assert not search.is_complete
    monkeypatch.setattr(history, "Search", lambda path: Search(path, most=5))
    last = list(read([tmp_path]))[-1]
    assert isinstance(last, Skipped)
    assert "sub-directories were searched" in last.reason
