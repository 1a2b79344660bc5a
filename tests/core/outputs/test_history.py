"""Past runs in files of all versions: each counts once, whatever a program wrote as its id."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from core.outputs.conftest import report_of

from carbon_core.outputs import receipt
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.history import PastRun, Skipped, read

# The columns of CodeCarbon 1.2, 2.1 and 2.8.
FIRST = "timestamp,experiment_id,project_name,duration,emissions,energy_consumed,country_name,country_iso_code,region,on_cloud,cloud_provider,cloud_region"  # noqa: E501
OLDER = "timestamp,project_name,run_id,duration,emissions,emissions_rate,cpu_power,gpu_power,ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,country_name,country_iso_code,region,cloud_provider,cloud_region,os,python_version,cpu_count,cpu_model,gpu_count,gpu_model,longitude,latitude,ram_total_size,tracking_mode,on_cloud"  # noqa: E501
OLD = (
    OLDER.replace("run_id,", "run_id,experiment_id,").replace(
        "python_version,", "python_version,codecarbon_version,"
    )
    + ",pue"
)


def write(path: Path, header: str, *runs: tuple[str, float]) -> None:
    """Write a CSV file of runs, each with its id and energy in kWh."""
    lines = [header]
    for run_id, kwh in runs:
        known = {"run_id": run_id, "energy_consumed": str(kwh), "emissions": "1.0"}
        known |= {"duration": "5.0", "timestamp": "2024-05-01T10:00:00", "project_name": "p"}
        lines.append(",".join(known.get(name, "x") for name in header.split(",")))
    path.write_text("\n".join(lines) + "\n")


def energies(*paths: Path) -> list[float]:
    """Return the energy of each run in files that all can be read."""
    found = list(read(paths))
    assert all(isinstance(one, PastRun) for one in found), found
    return sorted(one.energy_kwh.value for one in found if isinstance(one, PastRun))


def skipped(*paths: Path) -> dict[str, str]:
    return {one.path.name: one.reason for one in read(paths) if isinstance(one, Skipped)}


@pytest.mark.parametrize("header", [FIRST, OLDER, OLD], ids=["1.2", "2.1", "2.8"])
def test_files_of_older_versions_have_runs(tmp_path: Path, header: str) -> None:
    write(tmp_path / "emissions.csv", header, ("a", 0.1), ("b", 0.2))
    assert energies(tmp_path) == [0.1, 0.2]


@pytest.mark.parametrize("header", [FIRST, OLDER, OLD], ids=["1.2", "2.1", "2.8"])
def test_runs_of_a_file_that_was_kept_beside_count(tmp_path: Path, header: str) -> None:
    path = tmp_path / "emissions.csv"
    for kwh in (0.1, 0.2):
        write(path, header, (f"old-{kwh}", kwh))
        CsvFile(path, tmp_path / "lock").append(emissions_data(report_of(f"new-{kwh}", kwh=2.0)))
        path.rename(tmp_path / f"{kwh}.csv")
    assert energies(tmp_path) == [0.1, 0.2, 3.0, 3.0]
    assert energies(tmp_path / "emissions.csv.bak") == [0.1]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("a", 0.1), ("b", 0.2), ("a", 0.25), ("b", 0.6)], [0.25, 0.6]),
        ([("a", 0.1), ("a", 0.2), ("b", 0.3), ("a", 0.4), ("c", 0.5)], [0.3, 0.4, 0.5]),
        ([("", 0.2), ("", 0.2), ("", 0.2)], [0.2, 0.2, 0.2]),
        (
            [("None", 0.2), ("a", 0.1), ("None", 0.3), ("a", 0.4), ("nan", 0.5)],
            [0.2, 0.3, 0.4, 0.5],
        ),
        ([("a", 0.1), ("", 0.2), ("a", 0.3), ("", 0.4)], [0.2, 0.3, 0.4]),
    ],
    ids=["interleaved", "again later", "empty", "no ids", "mixed"],
)
def test_rows_of_runs_are_told_apart(
    tmp_path: Path, runs: Sequence[tuple[str, float]], expected: list[float]
) -> None:
    write(tmp_path / "emissions.csv", OLD, *runs)
    assert energies(tmp_path) == expected


def test_a_copy_of_a_file_counts_once_even_without_ids(tmp_path: Path) -> None:
    write(tmp_path / "emissions.csv", FIRST, ("", 0.2), ("", 0.2), ("", 0.3))
    shutil.copy(tmp_path / "emissions.csv", tmp_path / "copy.csv")
    assert energies(tmp_path) == [0.2, 0.2, 0.3]


def test_tasks_are_no_runs(tmp_path: Path) -> None:
    tasks = tmp_path / "emissions_base_r.csv"
    write(tasks, f"task_name,{OLDER}", ("r", 0.1))
    write(tmp_path / "emissions.csv", OLD, ("a", 0.5))
    assert energies(tmp_path) == [0.5]
    assert skipped(tasks) == {tasks.name: "a file of tasks, which are parts of runs"}


@pytest.mark.parametrize("missing", range(1, 8))
def test_a_cut_row_counts_for_nothing(tmp_path: Path, missing: int) -> None:
    """Even where its last number is cut and still is a number."""
    path = tmp_path / "emissions.csv"
    header = OLDER[: OLDER.index("energy_consumed")] + "energy_consumed,country_name"
    write(path, header, ("a", 0.5), ("b", 0.123456))
    path.write_text(path.read_text().removesuffix(",x\n")[:-missing])
    assert energies(path) == [0.5]


@pytest.mark.parametrize("value", ["nan", "inf", "", "x"])
def test_a_row_without_a_number_counts_for_nothing(tmp_path: Path, value: str) -> None:
    path = tmp_path / "emissions.csv"
    write(path, OLD, ("a", 0.5), ("b", 0.25))
    path.write_text(path.read_text().replace("0.25", value))
    assert energies(path) == [0.5]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    receipt.write(report_of("a"), runs / f"a{receipt.SUFFIX}")
    names = ["b.receipt.json", "c.journal.jsonl"]
    for path in [
        tmp_path / "fifo.csv",
        tmp_path / "fifo.csv.bak",
        *(runs / name for name in names),
    ]:
        os.mkfifo(path)
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "directory.csv").mkdir()
    (tmp_path / "nowhere.csv").symlink_to("nowhere")
    found = list(read([tmp_path]))
    assert [one.run_id for one in found if isinstance(one, PastRun)] == ["a"]
    reasons = skipped(tmp_path)
    assert reasons.pop("nowhere.csv") == "cannot be read: No such file or directory"
    assert set(reasons) == {"fifo.csv", "fifo.csv.bak", "zero.csv", "directory.csv", *names}
    assert set(reasons.values()) == {"cannot be read: not a regular file"}


def test_a_line_without_end_is_no_csv_file(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text('"' + "x" * 1_000_000)
    (tmp_path / "binary.csv").write_bytes(bytes(1000))
    assert set(skipped(tmp_path)) == {"long.csv", "binary.csv"}


def test_a_receipt_counts_before_a_row_of_any_csv_file(tmp_path: Path) -> None:
    """A row has neither an interval nor a method: also where its file is found first."""
    below = tmp_path / "below" / "carbon_runs"
    below.mkdir(parents=True)
    receipt.write(report_of("a"), below / f"a{receipt.SUFFIX}")
    write(tmp_path / "all.csv", OLD, ("a", 0.1), ("b", 0.2))
    for paths in ([tmp_path], [tmp_path / "all.csv", tmp_path / "below"]):
        found = {one.run_id: one for one in read(paths) if isinstance(one, PastRun)}
        assert found.keys() == {"a", "b"}
        assert found["a"].sigmas_ln is not None, paths


def test_further_columns_of_rows_can_be_selected(tmp_path: Path) -> None:
    write(tmp_path / "emissions.csv", OLD, ("a", 0.1))
    (found,) = read([tmp_path], columns=("region", "gpu_model", "wue"))
    assert isinstance(found, PastRun)
    assert found.columns == {"region": "x", "gpu_model": "x", "wue": ""}
