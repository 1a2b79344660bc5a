"""Exports of runs: what is new or has changed, each run once, whatever happens to a process."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.disclosure.conftest import row_of, write_rows
from core.outputs.conftest import report_of

from carbon_core.errors import OutputError
from carbon_core.fleet import files as export_files
from carbon_core.fleet.columns import ALL_TABLES, RUNS, TABLES, Table
from carbon_core.fleet.export import Result, export
from carbon_core.fleet.files import ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import Directory, place_of
from carbon_core.outputs import receipt
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Snapshot
from carbon_core.report import Report

pytest.importorskip("pyarrow")
ODD = 'a|b "c" \\ d_e & f\ng'
BY_NAME: dict[str, Table] = {table.name: table for table in ALL_TABLES}
FORMAT_NAMES = list(FORMATS)


def saved(directory: Path, report: Report) -> Path:
    runs = directory / "carbon_runs"
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / f"{report.run.run_id}{receipt.SUFFIX}"
    receipt.write(report, path)
    return path


def exported(source: Path, target: Path, form: str = "parquet") -> Result:
    place = Directory(target)
    with place.lock():
        return export([source], ExportFiles(place, FORMATS[form]))


def rows(target: Path, table: str = RUNS, form: str = "parquet") -> dict[str, dict[str, Any]]:
    """Return the rows of a table by the id of their run; each run at most once in the table of runs."""
    one, found = BY_NAME[table], []
    for path in sorted(target.glob(f"{table}/*/*{FORMATS[form].suffix}")):
        read = FORMATS[form].read(one, path.read_bytes(), one.names)
        found += [dict(zip(one.names, row)) for row in read]
    by_id = {row["run_id"]: row for row in found}
    assert table != RUNS or len(by_id) == len(found)
    return by_id


def counts(result: Result) -> tuple[int, int, int]:
    return result.added, result.changed, result.total


def without_reading(report: Report) -> Report:
    return replace(report, window=replace(report.window.end, devices=(), energies=()) - Snapshot(0))


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_a_run_has_the_figures_of_its_receipt(form: str, tmp_path: Path) -> None:
    path = saved(tmp_path, report_of("one", project_name=ODD))
    exported(tmp_path, tmp_path / "out", form)
    data, row = json.loads(path.read_text()), rows(tmp_path / "out", form=form)["one"]
    assert row["energy_kwh"] == data["energy_kwh"]["value"]
    assert row["energy_high_kwh"] == data["energy_kwh"]["high_95"]
    assert row["emissions_low_kg"] == data["emissions_kg"]["low_95"]
    assert (row["month"], row["status"], row["counted"]) == ("2026-01", "completed", 1.0)
    assert row["started_at"].isoformat() == "2026-01-01T10:00:00"
    assert (row["net_energy_kwh"], row["job_id"], row["accuracy"]) == (None, None, None)
    # A CSV file is read by spreadsheets: a row is a line.
    assert row["project_name"] == (ODD.replace("\n", " ") if form == "csv" else ODD)


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_phases_and_devices_add_up_to_their_run(form: str, tmp_path: Path) -> None:
    path = saved(tmp_path, report_of("one"))
    exported(tmp_path, tmp_path / "out", form)
    data = json.loads(path.read_text())
    for name in ("phases", "devices"):
        table = BY_NAME[name]
        (file,) = (tmp_path / "out").glob(f"{name}/*/*")
        read = [dict(zip(table.names, row)) for row in FORMATS[form].read(
            table, file.read_bytes(), table.names)]  # fmt: skip
        assert [row["energy_kwh"] for row in read] == [one["energy_kwh"] for one in data[name]]
        assert {row["counted"] for row in read} == {1.0}
    devices = FORMATS[form].read(BY_NAME["devices"], file.read_bytes(), ["energy_kwh"])
    total = sum(row[0] for row in devices)
    assert total == pytest.approx(data["energy_kwh"]["value"])


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_what_is_unknown_is_null_and_never_0(form: str, tmp_path: Path) -> None:
    saved(tmp_path, without_reading(report_of("none")))
    saved(tmp_path, replace(report_of("nowhere", country_name=""), intensities=()))
    exported(tmp_path, tmp_path / "out", form)
    found = rows(tmp_path / "out", form=form)
    row = found["none"]
    assert row["is_known"] is False
    unknown = ("energy_kwh", "energy_low_kwh", "emissions_kg", "emissions_high_kg", "power_w",
               "hardware_energy_kwh", "water_l", "cpu_energy_kwh", "share_grade_a")  # fmt: skip
    assert [row[name] for name in unknown] == [None] * len(unknown)
    row = found["nowhere"]
    assert (row["intensity_g_per_kwh"], row["intensity_place"], row["country"]) == (None,) * 3
    assert row["energy_kwh"] == pytest.approx(6.0)


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_only_what_is_new_or_has_changed_is_exported(form: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for i in range(3):
        saved(tmp_path, report_of(f"run-{i}", kwh=1.0 + i))
    assert counts(exported(tmp_path, out, form)) == (3, 0, 3)
    before = {path: path.stat().st_mtime_ns for path in out.rglob(f"*{FORMATS[form].suffix}")}
    assert counts(exported(tmp_path, out, form)) == (0, 0, 3)
    after = {path: path.stat().st_mtime_ns for path in out.rglob(f"*{FORMATS[form].suffix}")}
    assert before == after
    saved(tmp_path, report_of("run-1", kwh=9.0))
    saved(tmp_path, report_of("late", started_at="2026-02-01T00:00:00+00:00"))
    assert counts(exported(tmp_path, out, form)) == (1, 1, 4)
    found = rows(out, form=form)
    assert found["run-1"]["energy_kwh"] == pytest.approx(13.5)
    assert {name: row["month"] for name, row in found.items()}["late"] == "2026-02"


def test_a_journal_that_grew_and_the_receipt_that_replaces_it(tmp_path: Path) -> None:
    out, report = tmp_path / "out", report_of("one", kwh=1.0)
    (tmp_path / "carbon_runs").mkdir()
    journal = Journal(journal_path(tmp_path, "one"), report)
    journal.append(replace(report, status="running"))
    assert counts(exported(tmp_path, out)) == (1, 0, 1)
    assert rows(out)["one"]["status"] == "running"
    journal.append(replace(report_of("one", kwh=2.0), status="running"))
    assert counts(exported(tmp_path, out)) == (0, 1, 1)
    assert rows(out)["one"]["energy_kwh"] == pytest.approx(3.0)
    journal.close(saved=False)
    # The file is as it was; its process has ended.
    assert counts(exported(tmp_path, out)) == (0, 1, 1)
    assert rows(out)["one"]["status"] == "interrupted"
    assert counts(exported(tmp_path, out)) == (0, 0, 1)
    saved(tmp_path, report_of("one", kwh=4.0))
    assert counts(exported(tmp_path, out)) == (0, 1, 1)
    row = rows(out)["one"]
    assert (row["status"], row["energy_kwh"]) == ("completed", pytest.approx(6.0))
    assert row["source"].endswith(receipt.SUFFIX)


def test_a_run_within_another_counts_once_also_if_the_other_comes_later(tmp_path: Path) -> None:
    out = tmp_path / "out"
    saved(tmp_path, report_of("inner", kwh=3.0, within=("outer",)))
    exported(tmp_path, out)
    assert rows(out)["inner"]["counted"] == 1.0
    saved(tmp_path, report_of("outer", kwh=4.0))
    assert counts(exported(tmp_path, out)) == (1, 1, 2)
    found = rows(out)
    assert (found["inner"]["counted"], found["inner"]["part_of"]) == (0.0, "outer")
    assert rows(out, "devices")["inner"]["counted"] == 0.0
    total = sum(row["energy_kwh"] * row["counted"] for row in found.values())
    assert total == pytest.approx(6.0)
    assert counts(exported(tmp_path, out)) == (0, 0, 2)


def test_a_damaged_receipt_is_one_warning_and_the_others_are_exported(tmp_path: Path) -> None:
    out, path = tmp_path / "out", saved(tmp_path, report_of("bad"))
    saved(tmp_path, report_of("good"))
    whole = path.read_text()
    path.write_text(whole[:1000])
    (tmp_path / "carbon_runs" / f"gone{receipt.SUFFIX}").symlink_to(tmp_path / "nothing")
    result = exported(tmp_path, out)
    assert sorted(one.path.name.partition(".")[0] for one in result.skipped) == ["bad", "gone"]
    assert list(rows(out)) == ["good"]
    # What the typed reader refuses, too: a figure outside its interval, an infinite one.
    for old, new in (
        ('"low_95": ', '"low_95": 9'),
        ('"measured_j": ', '"measured_j": 1e999, "x": '),
    ):
        path.write_text(whole.replace(old, new))
        assert [one.path for one in exported(tmp_path, out).skipped].count(path) == 1
    path.write_text(whole)
    assert counts(exported(tmp_path, out)) == (1, 0, 2)


def test_a_deleted_receipt_keeps_its_row_and_a_moved_one_is_not_a_second_run(
    tmp_path: Path,
) -> None:
    out, first, second = (tmp_path / name for name in ("out", "first", "second"))
    saved(first, report_of("kept"))
    saved(first, report_of("deleted"))
    exported(first, out)
    (first / "carbon_runs" / f"deleted{receipt.SUFFIX}").unlink()
    first.rename(second)
    exported(second, out)
    found = rows(out)
    assert set(found) == {"kept", "deleted"}
    assert found["kept"]["source"].startswith(str(second))
    copy = second / "carbon_runs" / f"a-copy{receipt.SUFFIX}"
    copy.write_bytes((second / "carbon_runs" / f"kept{receipt.SUFFIX}").read_bytes())
    exported(second, out)
    assert set(rows(out)) == {"kept", "deleted"}


CODECARBON = (
    "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
    "2024-03-01T12:00:00,old,5f9b,60.0,0.5,1.5\n"
    "2024-03-02T12:00:00,old,,60.0,0.25,0.75\n"
    "2024-03-02T12:00:00,old,,60.0,0.25,0.75\n"
    "2024-03-03T12:00:00,old,unknown,60.0,,\n"
)


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_rows_of_codecarbon_are_runs_without_what_they_do_not_have(
    form: str, tmp_path: Path
) -> None:
    out, path = tmp_path / "out", tmp_path / "emissions.csv"
    path.write_text(CODECARBON)
    saved(tmp_path, report_of("5f9b"))  # the receipt has more
    assert counts(exported(tmp_path, out, form)) == (4, 0, 4)
    found = rows(out, form=form)
    assert found["5f9b"]["cpu_model"] == "A CPU"
    assert found["unknown"]["energy_kwh"] is None
    (equal, other) = (row for name, row in found.items() if name.startswith("row-"))
    assert equal["energy_kwh"] == other["energy_kwh"] == 0.75
    nulls = ("status", "energy_low_kwh", "cpu_model", "country", "rank", "gpu_count", "job_id")
    assert [equal[name] for name in nulls] == [None] * len(nulls)
    assert equal["month"] == "2024-03"
    with path.open("a") as file:
        file.write("2024-03-04T12:00:00,old,new,60.0,1.0,3.0\n")
    assert counts(exported(tmp_path, out, form)) == (1, 0, 5)
    assert counts(exported(tmp_path, out, form)) == (0, 0, 5)


class Killed(Exception):
    pass


class Dying(Directory):
    """A directory whose process is killed before a write."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.left = at

    def write(self, name: str, data: bytes) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        super().write(name, data)

    def remove(self, name: str) -> None:
        if not self.left:
            raise Killed
        super().remove(name)


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_half(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export_files, "MOST_RUNS", 2)
    source, fresh = tmp_path / "in", tmp_path / "fresh"
    for i in range(5):
        saved(source, report_of(f"run-{i}", kwh=1.0 + i))
    deaths = 0
    for at in range(40):
        out = tmp_path / f"out-{at}"
        early = tmp_path / f"early-{at}"
        for i in range(3):
            saved(early, report_of(f"run-{i}", kwh=0.5))
        exported(early, out)
        for name in TABLES:  # readers of the files see whole ones
            assert len(rows(out, name.name)) == 3
        dying = Dying(out, at)
        try:
            export([source], ExportFiles(dying, FORMATS["parquet"]))
        except Killed:
            deaths += 1  # otherwise this is the last one
        # Readers see each run at most once.
        assert set(rows(out)) <= {f"run-{i}" for i in range(5)}
        saved(source, report_of("a-later-one", kwh=7.0))
        exported(source, out)
        (source / "carbon_runs" / f"a-later-one{receipt.SUFFIX}").unlink()
        for table in TABLES:
            found = [
                tuple(row)
                for path in sorted(out.glob(f"{table.name}/*/*.parquet"))
                for row in FORMATS["parquet"].read(table, path.read_bytes(), ["run_id", "month"])
            ]
            per_run = 1 if table.name == RUNS else len(found) / 6
            assert len(found) == 6 * per_run, (at, table.name)
            assert {found.count(one) for one in found} == {per_run}
        if at == deaths:  # it was not killed
            break
    assert 10 < deaths < 40
    exported(source, fresh)
    assert math.fsum(row["energy_kwh"] for row in rows(fresh).values()) == pytest.approx(22.5)


def test_of_a_killed_export_no_rows_are_left_of_runs_that_are_gone_since(tmp_path: Path) -> None:
    out = tmp_path / "out"
    saved(tmp_path, report_of("kept"))
    exported(tmp_path, out)
    gone = [
        saved(tmp_path, report_of(f"gone-{i}", started_at=f"2026-0{i}-01T00:00:00+00:00"))
        for i in (1, 2)
    ]
    with pytest.raises(Killed):  # after the phases and devices of one month
        export([tmp_path], ExportFiles(Dying(out, 3), FORMATS["parquet"]))
    for path in gone:
        path.unlink()
    assert counts(exported(tmp_path, out)) == (0, 0, 1)
    for table in TABLES:
        assert set(rows(out, table.name)) == set(rows(out)), table.name


@pytest.mark.parametrize("ended", ["2025-12-31T12:00:00", "2026-02-03T12:00:00"])
def test_a_killed_export_does_not_double_a_run_that_moves_to_another_month(
    ended: str, tmp_path: Path
) -> None:
    before, after, several = tmp_path / "before", tmp_path / "after", ("1", "2", "3")
    write_rows(before / "emissions.csv", *(row_of(one, timestamp=ended) for one in ("1", "2")))
    for one in several:
        saved(after, report_of(one))
    for writes in range(10):
        out = tmp_path / f"out-{writes}"
        exported(before, out)
        dying = Dying(out, writes)
        try:
            export([after], ExportFiles(dying, FORMATS["parquet"]))
        except Killed:
            exported(after, out)
            ids = [
                run_id
                for path in out.glob("runs/*/*.parquet")
                for (run_id,) in FORMATS["parquet"].read(TABLES[-1], path.read_bytes(), ["run_id"])
            ]
            assert sorted(ids) == ["1", "2", "3"], writes
            assert {row["month"] for row in rows(out).values()} == {"2026-01"}
        else:
            return
    pytest.fail("it was always killed")


def test_temporary_files_of_a_killed_export_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    saved(tmp_path, report_of("one"))
    exported(tmp_path, out)
    left = out / RUNS / "month=2026-01" / ".00000.parquet.a1b2c3d4e5f6"
    others = [out / one / ".keep" for one in ("", RUNS, f"{RUNS}/month=2026-01")]
    for path in (left, *others):
        path.write_bytes(b"half")
    exported(tmp_path, out)
    assert not left.exists()
    assert all(path.exists() for path in others)


def test_a_month_with_many_runs_has_several_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export_files, "MOST_RUNS", 3)
    for i in range(10):
        saved(tmp_path, report_of(f"run-{i}"))
    exported(tmp_path, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / RUNS).rglob("*.parquet"))
    assert names == [f"0000{i}.parquet" for i in range(4)]
    assert len(rows(tmp_path / "out")) == 10


def test_an_export_of_another_format_or_of_a_newer_version_is_refused(
    tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    saved(tmp_path, report_of("one"))
    exported(tmp_path, out)
    with pytest.raises(OutputError, match="another format"):
        exported(tmp_path, out, "csv")
    for form in FORMAT_NAMES:
        with monkeypatch.context() as patch:
            patch.setattr("carbon_core.fleet.columns.SCHEMA_VERSION", 2)
            patch.setattr("carbon_core.fleet.formats.SCHEMA_VERSION", 2)
            exported(tmp_path, tmp_path / form, form)
        with pytest.raises(OutputError, match="newer"):
            exported(tmp_path, tmp_path / form, form)
    (path,) = out.glob(f"{RUNS}/*/*.parquet")
    path.write_bytes(b"not Parquet")
    with pytest.raises(OutputError, match="not a Parquet file"):
        exported(tmp_path, out)


def test_a_column_that_is_new_is_null_in_older_rows(tmp_path: Path, monkeypatch) -> None:
    out, table = tmp_path / "out", BY_NAME[RUNS]
    saved(tmp_path, report_of("old"))
    with monkeypatch.context() as patch:
        fewer = table._replace(columns=tuple(c for c in table.columns if c.name != "os"))
        at = table.names.index("os")
        parquet = FORMATS["parquet"]
        exported(tmp_path, out)
        (path,) = out.glob(f"{RUNS}/*/*.parquet")
        (row,) = parquet.read(table, path.read_bytes(), table.names)
        path.write_bytes(parquet.written(fewer, [[*row[:at], *row[at + 1 :]]]))
        patch.undo()
    saved(tmp_path, report_of("new"))
    assert counts(exported(tmp_path, out)) == (1, 0, 2)
    found = rows(out)
    assert (found["old"]["os"], found["new"]["os"]) == (None, "Linux 6.1")


EXPORT = """
import sys
from pathlib import Path
from carbon_core.fleet.export import export
from carbon_core.fleet.files import ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import Directory

place = Directory(Path(sys.argv[2]))
with place.lock():
    export([Path(sys.argv[1])], ExportFiles(place, FORMATS["csv"]))
"""


@pytest.mark.slow
def test_two_exports_at_once_write_each_run_once(tmp_path: Path) -> None:
    for i in range(20):
        saved(tmp_path, report_of(f"run-{i}"))
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path}\n{EXPORT}"]
    out = tmp_path / "out"
    both = [subprocess.Popen([*command, str(tmp_path), str(out)]) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert len(rows(out, form="csv")) == 20


def test_a_target_of_fsspec_has_the_same_files(tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    place = place_of("memory://bucket/fleet")
    for i in range(3):
        saved(tmp_path, report_of(f"run-{i}"))
        with place.lock():
            export([tmp_path], ExportFiles(place, FORMATS["parquet"]))
    exported(tmp_path, tmp_path / "out")
    assert place.names() == Directory(tmp_path / "out").names()
    memory.get("/bucket/fleet", str(tmp_path / "copy"), recursive=True)
    assert rows(tmp_path / "copy") == rows(tmp_path / "out")
    memory.rm("/bucket", recursive=True)


def test_a_target_that_cannot_be_used_is_an_error_with_its_address() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(OutputError, match="nowhere://"):
        place_of("nowhere://bucket")
