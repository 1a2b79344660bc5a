"""emissions.csv: CodeCarbon's columns, one row a run, and nothing ever torn or lost."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import carbon_core
from carbon_core.errors import OutputError
from carbon_core.file_locks import FileLock
from carbon_core.outputs.csv_file import COLUMNS, CsvFile
from carbon_core.outputs.emissions_data import EmissionsData, emissions_data
from carbon_core.report import Report

ORDER = """
timestamp, project_name, run_id, experiment_id, duration, emissions, emissions_rate, cpu_power,
gpu_power, ram_power, cpu_energy, gpu_energy, ram_energy, energy_consumed, water_consumed,
country_name, country_iso_code, region, cloud_provider, cloud_region, os, python_version,
codecarbon_version, cpu_count, cpu_model, gpu_count, gpu_model, longitude, latitude,
ram_total_size, tracking_mode, cpu_utilization_percent, gpu_utilization_percent,
ram_utilization_percent, ram_used_gb, on_cloud, pue, wue
"""
CODECARBONS_COLUMNS = re.findall(r"\w+", ORDER)
MakeReport = Callable[..., Report]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emissions.csv"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def file(path: Path, said: list[str]) -> CsvFile:
    return CsvFile(path, path.with_name("lock"), warn=said.append)


@pytest.fixture
def data(make_report: MakeReport) -> Callable[..., EmissionsData]:
    return lambda run_id="run-1", **more: replace(emissions_data(make_report(run_id)), **more)


def rows(path: Path) -> list[dict[str, str]]:
    """Read the file as any script would: each row must have exactly the header's columns."""
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, restkey="too many", restval="too few"))
    assert all(list(row) == CODECARBONS_COLUMNS for row in found)
    assert all("too few" not in row.values() for row in found)
    return found


def fill(path: Path, size: int = 3 * 2**20) -> None:
    """Repeat the last row of the file, as the rows of many runs, up to a size in bytes."""
    row = path.read_bytes().splitlines(keepends=True)[-1]
    row = row.replace(b",own,", b",old,")
    with path.open("ab") as raw:
        raw.write(row * (size // len(row) + 1))


# --- what stands in it ----------------------------------------------------------------------------


def test_the_columns_are_codecarbons_in_its_order(file: CsvFile, path: Path, data) -> None:
    file.append(data())
    assert len(CODECARBONS_COLUMNS) == 38
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header == ",".join(CODECARBONS_COLUMNS)
    assert list(COLUMNS) == CODECARBONS_COLUMNS


def test_the_figures_of_a_row(
    file: CsvFile, path: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.append(emissions_data(make_report()))
    [row] = rows(path)
    assert re.fullmatch(r"2026-01-0[12]T\d\d:00:00|2026-01-01T\d\d:\d\d:00", row["timestamp"])
    exact = {
        "project_name": "digits",
        "run_id": "run-1",
        "experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c",
        "country_name": "France",
        "country_iso_code": "FRA",
        "region": "",
        "cloud_provider": "",
        "os": "Linux 6.1",
        "python_version": "3.11.7",
        "codecarbon_version": "carbon-callbacks 1.2.3",
        "cpu_count": "40",
        "cpu_model": "A CPU",
        "gpu_count": "3",
        "gpu_model": "2 x A100, 1 x T4",
        "longitude": "",
        "latitude": "",
        "ram_total_size": "62.5",
        "tracking_mode": "machine",
        "cpu_utilization_percent": "51.5",
        "gpu_utilization_percent": "",
        "ram_utilization_percent": "20.25",
        "ram_used_gb": "12.0",
        "on_cloud": "N",
        "pue": "1.5",
        "wue": "2.0",
    }
    assert {key: row[key] for key in exact} == exact
    figures = {
        "duration": 7_200.0,
        "emissions": 0.525,
        "emissions_rate": 0.525 / 7_200,
        "cpu_energy": 1.5,
        "gpu_energy": 4.2,
        "ram_energy": 0.3,
        "energy_consumed": 6.0,
        "cpu_power": 750.0,
        "gpu_power": 2_100.0,
        "ram_power": 150.0,
        "water_consumed": 8.0,
    }
    assert {key: float(row[key]) for key in figures} == pytest.approx(figures)


def test_figures_are_written_to_the_last_digit(file: CsvFile, path: Path, data) -> None:
    file.append(data(emissions=0.1 + 0.2, duration=1e-7))
    assert (float(rows(path)[0]["emissions"]), float(rows(path)[0]["duration"])) == (
        0.1 + 0.2,
        1e-7,
    )


@pytest.mark.parametrize(
    "name", ["=cmd/' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1", "=", "\n=1"]
)
def test_no_cell_starts_a_formula(file: CsvFile, path: Path, data, name: str) -> None:
    file.append(data(project_name=name))
    [row] = rows(path)
    assert row["project_name"][0] not in "=+-@\t\r"
    assert name.strip() in row["project_name"]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("a\nb\r\nc", "a b  c"),
        ("a\0b", "a b"),
        ("\x1b[31mred", " [31mred"),
        ("a\ud800b", "a b"),
        ('say "hi", or not', 'say "hi", or not'),
        ("x" * 1_000_000, "x" * 1_000),
        ("Zürich ☘", "Zürich ☘"),
        ("a\u2028b\x85c", "a b c"),
        ("1 - 2 = -1", "1 - 2 = -1"),
        ("", ""),
    ],
    ids=ascii,
)
def test_odd_names_are_readable_cells(
    file: CsvFile, path: Path, data, name: str, cell: str
) -> None:
    file.append(data(project_name=name))
    file.append(data("run-2"))
    assert [row["project_name"] for row in rows(path)] == [cell, "digits"]


# --- files that were there before -------------------------------------------------------------------


def test_rows_are_added_below_those_that_are_there(file: CsvFile, path: Path, data) -> None:
    for i in range(3):
        file.append(data(f"run-{i}"))
    assert [row["run_id"] for row in rows(path)] == ["run-0", "run-1", "run-2"]


def test_an_empty_file_gets_a_header(file: CsvFile, path: Path, data) -> None:
    path.touch()
    file.append(data())
    assert len(rows(path)) == 1
    assert not list(path.parent.glob("*.bak"))


def test_a_missing_newline_at_the_end_is_made_up_for(file: CsvFile, path: Path, data) -> None:
    file.append(data("old"))
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    file.append(data("new"))
    assert [row["run_id"] for row in rows(path)] == ["old", "new"]


CUTS = {"first byte": 1, "some cells": 60, "within quotes": -150, "last cells": -9}


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no newline", "newline"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_torn_row_is_set_aside(
    file: CsvFile, path: Path, data, said: list[str], cut: str, end: bytes, update: bool, size: str
) -> None:
    file.append(data("old"))
    if size == "large":
        fill(path)
    whole = path.read_bytes()
    file.append(data("torn", gpu_model="1 x A, 2 x B", cpu_model='the "best", by far'))
    torn = path.read_bytes()[len(whole) :]
    torn = torn[: torn.index(b'"') + 3 if cut == "within quotes" else CUTS[cut]]
    path.write_bytes(whole + torn + end)
    (file.update if update else file.append)(data("new"))
    found = rows(path)
    assert [found[0]["run_id"], found[-1]["run_id"]] == ["old", "new"]
    assert path.read_bytes().startswith(whole)
    assert path.with_name("emissions.csv.invalid").read_bytes() == torn + b"\n"
    assert said == [f"{path} has a torn row of another program: moved to emissions.csv.invalid"]


def test_torn_rows_between_others_are_set_aside_and_the_others_kept(
    file: CsvFile, path: Path, data, said: list[str]
) -> None:
    """Also one that the next row was appended to without a line break, and one within quotes."""
    for i in range(4):
        file.append(data(f"run-{i}", project_name="two, and more"))
    header, *lines = path.read_bytes().splitlines(keepends=True)
    in_quotes = lines[0][: lines[0].index(b'"') + 3]
    torn = [lines[0][:30], in_quotes + b"\n", lines[0][:100] + b"\n"]
    path.write_bytes(
        header + lines[0] + torn[0] + lines[1] + torn[1] + lines[2] + torn[2] + lines[3]
    )
    file.append(data("new"))
    assert [row["run_id"] for row in rows(path)] == ["run-0", "run-1", "run-2", "run-3", "new"]
    aside = path.with_name("emissions.csv.invalid").read_bytes()
    assert aside == torn[0] + b"\n" + torn[1] + torn[2]
    assert "3 torn rows" in said[0]


def test_a_row_of_another_program_may_have_line_breaks_in_its_cells(
    file: CsvFile, path: Path, data, said: list[str]
) -> None:
    file.append(data("old", project_name="one, two"))
    path.write_bytes(path.read_bytes().replace(b"one, two", b"one,\ntwo\n, three\n"))
    before = path.read_bytes()
    file.append(data("new"))
    assert path.read_bytes().startswith(before)
    assert [row["run_id"] for row in rows(path)] == ["old", "new"]
    assert said == []


def test_torn_rows_stay_where_they_cannot_be_set_aside(file: CsvFile, path: Path, data) -> None:
    file.append(data("old"))
    with path.open("ab") as raw:
        raw.write(b'2026,"torn')
    before = path.read_bytes()
    path.with_name("emissions.csv.invalid").mkdir()
    file.append(data("new"))
    assert path.read_bytes().startswith(before + b'"\n')
    assert list(csv.DictReader(path.open(newline="")))[-1]["run_id"] == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_no_row_waits_for_the_reader_of_a_fifo(file: CsvFile, path: Path, data) -> None:
    """A FIFO in the place of the file of torn rows, and in that of the file itself."""
    path.write_text(",".join(COLUMNS) + "\n" + "torn,\n" * 20_000)
    os.mkfifo(path.with_name("emissions.csv.invalid"))
    file.append(data("own"))
    assert ",own," in path.read_text().splitlines()[-1]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OutputError, match="not a regular file"):
        file.append(data("other"))


def test_the_row_of_a_large_file_is_updated_in_its_place(file: CsvFile, path: Path, data) -> None:
    file.append(data("old"))
    fill(path)
    before = path.read_bytes()
    inode = path.stat().st_ino
    for emissions in (0.123456789, 9.0, 1.25, 0.1 + 0.2):
        file.update(data("own", emissions=emissions))
        assert path.read_bytes().startswith(before)
        last = rows(path)[-1]
        assert (last["run_id"], float(last["emissions"])) == ("own", emissions)
    assert path.read_bytes().count(b",own,") == 1
    assert path.stat().st_ino == inode, "the file is not copied at every flush"


def test_a_row_amid_a_large_file_is_updated_and_no_other(file: CsvFile, path: Path, data) -> None:
    file.append(data("own"))
    fill(path)
    before = path.read_bytes()
    file.update(data("own", emissions=9.0))
    _, row, rest = path.read_bytes().split(b"\n", 2)
    assert row.split(b",")[5] == b"9.0"
    assert before.endswith(b"\n" + rest)
    assert len(rest) > 2**20


MEMORY = """
import sys
from dataclasses import fields
from pathlib import Path
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import EmissionsData
path = Path(sys.argv[1])
row = EmissionsData(**{field.name: "new" for field in fields(EmissionsData)})
def peak():
    # Not ru_maxrss: a child begins with its parent's.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
before = peak()
file = CsvFile(path, path.with_name("lock"))
file.update(row)
file.update(row)
with path.open("ab") as raw:
    raw.write(b"2026-01-01T00:00:00,torn")
file.append(row)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak is that of Linux")
def test_a_large_file_is_not_read_into_memory(file: CsvFile, path: Path, data) -> None:
    file.append(data("old"))
    fill(path, 40 * 2**20)
    said, trouble = start(MEMORY, str(path)).communicate(timeout=60)
    assert trouble == ""
    assert float(said) < 20
    assert path.stat().st_size > 40 * 2**20


@pytest.mark.parametrize("update", [False, True])
def test_a_byte_order_mark_does_not_hide_the_header(
    file: CsvFile, path: Path, data, update: bool
) -> None:
    file.append(data("old"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    (file.update if update else file.append)(data("new"))
    with path.open(encoding="utf-8-sig", newline="") as read:
        assert [row["run_id"] for row in csv.DictReader(read)] == ["old", "new"]
    assert not list(path.parent.glob("*.bak"))


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        b"timestamp,project_name,run_id\n2020,x,run-1\n",
        b"\x80\x81\0\xff" * 100,
        b"hello",
        b"\n\n",
        b"PK\x03\x04" + b"\n" * 50,
    ],
    ids=["older columns", "binary", "no newline", "blank lines", "archive"],
)
def test_a_file_with_another_header_is_kept_beside(
    file: CsvFile, path: Path, data, said: list[str], content: bytes, update: bool
) -> None:
    path.write_bytes(content)
    (file.update if update else file.append)(data("run-1"))
    assert path.with_name("emissions.csv.bak").read_bytes() == content
    assert [row["run_id"] for row in rows(path)] == ["run-1"]
    assert said == [f"{path} had other columns: it is kept as emissions.csv.bak"]


def test_a_file_of_an_older_codecarbon_is_said_to_be_kept(
    file: CsvFile, path: Path, data, said: list[str]
) -> None:
    path.write_text("timestamp,project_name,duration,emissions\n2020,x,1,2\n")
    file.append(data())
    [line] = said
    assert "kept as emissions.csv.bak" in line
    assert "carbon-callbacks report counts its runs" in line


def test_no_backup_replaces_another(file: CsvFile, path: Path, data) -> None:
    for i in range(3):
        path.write_text(f"other {i}\n", encoding="utf-8")
        file.append(data())
    names = ["emissions.csv.bak", "emissions.csv_0.bak", "emissions.csv_1.bak"]
    texts = [path.with_name(name).read_text(encoding="utf-8") for name in names]
    assert texts == ["other 0\n", "other 1\n", "other 2\n"]


# --- update -------------------------------------------------------------------------------------------


def test_update_replaces_the_row_of_the_run_and_no_other(file: CsvFile, path: Path, data) -> None:
    for run_id in ("run-0", "run-1", "run-2"):
        file.append(data(run_id))
    file.update(data("run-1", emissions=9.0))
    found = rows(path)
    assert [row["run_id"] for row in found] == ["run-0", "run-1", "run-2"]
    assert [row["emissions"] == "9.0" for row in found] == [False, True, False]


def test_update_adds_a_row_where_there_is_none(file: CsvFile, path: Path, data) -> None:
    file.update(data("run-0"))
    file.update(data("run-1"))
    assert [row["run_id"] for row in rows(path)] == ["run-0", "run-1"]


def test_update_keeps_the_bytes_of_others(file: CsvFile, path: Path, data) -> None:
    file.append(data("run-1", project_name="name"))
    other = path.read_bytes().splitlines(keepends=True)[1].replace(b",run-1,", b",run-2,")
    other = other.replace(b",name,", b",\xff\xfe\0,").replace(b"\n", b"\r\n")
    with path.open("ab") as raw:
        raw.write(other)
    file.update(data("run-1", emissions=9.0))
    assert path.read_bytes().splitlines()[1].split(b",")[5] == b"9.0"
    assert path.read_bytes().endswith(other)


@pytest.mark.parametrize("cell", [b"x" * 1_000_000, b"a\0b"], ids=["1 MB", "nul"])
def test_rows_of_others_with_too_few_cells_are_set_aside_whole(
    file: CsvFile, path: Path, data, cell: bytes
) -> None:
    file.append(data("run-1"))
    odd = b'short,row\n"quoted, cell",\xff\xfe\n2020,' + cell + b"\n"
    with path.open("ab") as raw:
        raw.write(odd)
    file.update(data("run-1", emissions=9.0))
    assert [row["emissions"] for row in rows(path)] == ["9.0"]
    assert path.with_name("emissions.csv.invalid").read_bytes() == odd


def test_update_leaves_no_temporary_file(file: CsvFile, path: Path, data) -> None:
    file.append(data())
    file.update(data(emissions=9.0))
    assert {entry.name for entry in path.parent.iterdir()} <= {"emissions.csv", "lock"}
    assert path.stat().st_mode & 0o777 == 0o644


# --- many writers, full disks -----------------------------------------------------------------------

WRITER = """
import sys
from dataclasses import fields
from pathlib import Path
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import EmissionsData
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = CsvFile(path, path.with_name("lock"), lock_timeout_s=30.0)
print("ready", flush=True)
sys.stdin.readline()
for i in range(count):
    cells = {field.name: f"{name}-{i}" for field in fields(EmissionsData)}
    file.append(EmissionsData(**cells))
"""
KILLED = """
import os, signal, sys
from dataclasses import fields
from pathlib import Path
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import EmissionsData
path, call, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
real, left = getattr(os, call), [number]
def fatal(*arguments):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
data = EmissionsData(**{field.name: "own" for field in fields(EmissionsData)})
setattr(os, call, fatal)
CsvFile(path, path.with_name("lock")).update(data)
"""
FULL_DISK = """
import resource, signal, sys
from dataclasses import fields
from pathlib import Path
from carbon_core.errors import OutputError
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import EmissionsData
path, room = Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
small = 2**20
size = path.stat().st_size if path.exists() else 0
size = 0 if sys.argv[3] == "update" and size < small else size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
data = EmissionsData(**{field.name: "new" for field in fields(EmissionsData)})
file = CsvFile(path, path.with_name("lock"))
try:
    (file.update if sys.argv[3] == "update" else file.append)(data)
except OutputError as error:
    print(error)
"""
ENVIRON = {"PYTHONPATH": str(Path(carbon_core.__file__).parents[1])}


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=ENVIRON,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_processes_that_finish_together_leave_all_their_rows(path: Path) -> None:
    writers = [start(WRITER, str(path), f"writer-{i}", "50") for i in range(8)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=30)[1] for writer in writers] == [""] * 8
    found = sorted(row["run_id"] for row in rows(path))
    assert found == sorted(f"writer-{i}-{j}" for i in range(8) for j in range(50))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits on file sizes are POSIX")
@pytest.mark.parametrize("room", [0, 1, 50, 150])
@pytest.mark.parametrize("way", ["append", "update"])
def test_a_full_disk_is_an_output_error_and_the_file_is_as_it_was(
    path: Path, data, room: int, way: str
) -> None:
    CsvFile(path, path.with_name("lock")).append(data("new" if way == "update" else "old"))
    before = path.read_bytes()
    child = start(FULL_DISK, str(path), str(room), way)
    said, trouble = child.communicate(timeout=30)
    assert trouble == ""
    assert said.startswith(f"cannot write {path}")
    assert path.read_bytes() == before
    assert {entry.name for entry in path.parent.iterdir()} <= {"emissions.csv", "lock"}
    CsvFile(path, path.with_name("lock")).append(data("next"))
    assert rows(path)[-1]["run_id"] == "next"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits on file sizes are POSIX")
@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_leaves_a_large_file_as_it_was(file: CsvFile, path: Path, data, room) -> None:
    file.append(data("old"))
    fill(path)
    file.append(data("new", project_name="short", cpu_model="short"))
    size = path.stat().st_size
    before = path.read_bytes()
    program = FULL_DISK.replace('"new" for', '"new" if field.name == "run_id" else "x" * 30 for')
    said, trouble = start(program, str(path), str(room), "update").communicate(timeout=30)
    assert trouble == ""
    assert said.startswith(f"cannot write {path}")
    assert path.read_bytes() == before
    assert path.stat().st_size == size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals are POSIX")
@pytest.mark.parametrize("call", ["open", "write", "ftruncate", "fsync", "replace"])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("torn", [False, True])
def test_a_writer_that_is_killed_costs_no_row(
    file: CsvFile, path: Path, data, call: str, number: int, torn: bool
) -> None:
    file.append(data("old"))
    fill(path, 2**20)
    whole = path.read_bytes()
    file.append(data("own"))
    if torn:
        with path.open("ab") as raw:
            raw.write(b"2026-01-01T00:00:00,torn")
    start(KILLED, str(path), call, str(number)).communicate(timeout=30)
    assert path.read_bytes().startswith(whole)
    file.update(data("own", emissions=9.0))
    found = rows(path)
    assert [row["run_id"] for row in found].count("own") == 1
    assert found[-1]["emissions"] == "9.0"
    assert len(found) == whole.count(b"\n")


def test_a_full_disk_at_the_first_row_leaves_an_empty_file_that_the_next_run_fills(
    path: Path, data
) -> None:
    said, _ = start(FULL_DISK, str(path), "100", "append").communicate(timeout=30)
    assert said.startswith(f"cannot write {path}")
    assert path.read_bytes() == b""
    CsvFile(path, path.with_name("lock")).append(data("next"))
    assert [row["run_id"] for row in rows(path)] == ["next"]


def test_a_file_that_stays_locked_is_an_output_error(path: Path, data) -> None:
    lock = path.with_name("lock")
    with FileLock(lock), pytest.raises(OutputError, match="is locked by another process"):
        CsvFile(path, lock, lock_timeout_s=0.1).append(data())
    assert not path.exists()


def test_a_directory_in_the_files_place_is_an_output_error(file: CsvFile, path: Path, data) -> None:
    path.mkdir()
    with pytest.raises(OutputError, match=f"cannot write {re.escape(str(path))}"):
        file.append(data())
    with pytest.raises(OutputError, match=f"cannot write {re.escape(str(path))}"):
        file.update(data())


# --- links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["rows", "empty", "absent"])
def test_the_users_own_link_is_followed(file: CsvFile, path: Path, data, before: str) -> None:
    shared = path.with_name("shared.csv")
    if before == "rows":
        CsvFile(shared, path.with_name("lock")).append(data("old"))
    elif before == "empty":
        shared.touch()
    path.symlink_to("link")
    path.with_name("link").symlink_to(shared)
    file.append(data("new"))
    file.update(data("new", emissions=9.0))
    assert [row["run_id"] for row in rows(shared)][-1] == "new"
    assert len(rows(shared)) == (2 if before == "rows" else 1)
    assert path.is_symlink()


def test_a_link_to_a_file_without_runs_harms_nothing(file: CsvFile, path: Path, data) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.symlink_to(victim)
    with pytest.raises(OutputError, match="is a link to"):
        file.append(data())
    assert victim.read_text() == "precious"


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may give files away"
)
@pytest.mark.parametrize("foreign", ["link", "target", "between"])
def test_another_users_link_is_not_followed(file: CsvFile, path: Path, data, foreign: str) -> None:
    victim, between = path.with_name("victim"), path.with_name("between")
    victim.write_bytes(b"")
    between.symlink_to(victim)
    path.symlink_to(between)
    planted = {"link": path, "target": victim, "between": between}[foreign]
    os.chown(planted, 12_345, 12_345, follow_symlinks=False)
    with pytest.raises(OutputError, match="another user"):
        file.append(data())
    assert victim.read_bytes() == b""


def test_links_in_a_circle_are_an_output_error(file: CsvFile, path: Path, data) -> None:
    path.symlink_to(path.name)
    with pytest.raises(OutputError, match="too many links"):
        file.append(data())
