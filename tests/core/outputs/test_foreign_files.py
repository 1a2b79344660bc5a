"""Damaged, hostile and unusual files of other runs: each is skipped by name, and costs nothing else."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.outputs.conftest import report_of

from carbon_core.input_files import InputFileError
from carbon_core.outputs import history, journal, merging, past_runs, receipt, timeline
from carbon_core.outputs.archive import Archive
from carbon_core.outputs.journal import SUFFIX, Journal
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.outputs.run_directory import RunDirectory

MakeReport = Callable[..., Any]
ODD: list[tuple[str, Any]] = [
    ("duration_s", float("inf")),
    ("duration_s", float("nan")),
    ("duration_s", -1.0),
    ("duration_s", "9" * 30),
    ("duration_s", True),
    ("duration_s", 10**400),
    ("ended_at", "2026-02-31"),
    ("ended_at", "9999-12-31T23:59:59+00:00"),
    ("status", ["completed"]),
    ("phases", [{"name": "x", "duration_s": 1.0, "joules": 1.0, "count": 1}] * 1_000_000),
    ("phases", "train"),
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "carbon_runs"
    path.mkdir()
    receipt.write(report_of("valid"), path / f"valid{receipt.SUFFIX}")
    return path


def killed(runs: Path, run_id: str) -> Path:
    """Leave the journal of a run that was killed long ago, on a machine that is gone."""
    path = runs / f"{run_id}{SUFFIX}"
    report = report_of(run_id, "running")
    written = Journal(path, report)
    written.append(report)
    written.close(saved=False)
    path.write_bytes(path.read_bytes().replace(b'"pid": %d' % os.getpid(), b'"pid": 4194304'))
    os.utime(path, (1_000_000, 1_000_000))
    return path


def changed(path: Path, key: str, value: object) -> None:
    """Change a value in every record of totals."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records = [{**one, key: value} if one["type"] == "totals" else one for one in records]
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    os.utime(path, (1_000_000, 1_000_000))


def recovered(directory: Path) -> tuple[str, list[str]]:
    """Start and end a run; return the rows of its directory, and the warnings."""
    warnings: list[str] = []
    output = RunDirectory(
        directory, "emissions.csv", always_update=False, keep_journal=True, warn=warnings.append
    )
    output.open(report_of("own", "running"))
    output.close(report_of("own"))
    return (directory / "emissions.csv").read_text(), warnings


@pytest.mark.parametrize(
    ("key", "value"), ODD, ids=[f"{key}-{i}" for i, (key, _) in enumerate(ODD)]
)
def test_a_damaged_journal_is_named_and_the_others_are_recovered(
    runs: Path, key: str, value: object
) -> None:
    killed(runs, "one")
    killed(runs, "other")
    changed(killed(runs, "odd"), key, value)
    rows, warnings = recovered(runs.parent)
    assert all(rows.count(f",{name},") == 1 for name in ("one", "other", "own"))
    assert ",odd," not in rows
    assert [f"odd{SUFFIX}" in text for text in warnings] == [True]
    assert recovered(runs.parent)[1] == []  # named once


def test_a_damaged_last_record_costs_only_itself(runs: Path) -> None:
    path = killed(runs, "odd")
    lines = path.read_text().splitlines()
    last = json.dumps({**json.loads(lines[-1]), "duration_s": float("inf")})
    path.write_text("\n".join([*lines, last]))
    assert journal.read(path).duration_s == 7_200.0


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"type": "totals", "x":' + "[" * 100_000 + "}"])
def test_deep_nesting_is_no_record(runs: Path, nested: str) -> None:
    path = killed(runs, "odd")
    path.write_text(path.read_text() + nested + "\n")
    assert journal.read(path).duration_s == 7_200.0
    assert timeline.read(path).duration_s == 7_200.0


def test_an_index_without_a_device_adds_no_curve(runs: Path) -> None:
    path = killed(runs, "odd")
    changed(path, "moments", {"readings": [[3_000_000, [1.0], [1.0]]]})
    assert len(timeline.read(path).curves) == 3


def test_an_endless_heartbeat_does_not_keep_a_journal(runs: Path) -> None:
    path = killed(runs, "odd")
    text = path.read_text().replace('"pue": "1.5"', '"measure_power_secs": "Infinity"')
    path.write_text(text.replace('"host": "', '"host": "elsewhere-'))
    os.utime(path, (1_000_000, 1_000_000))
    assert ",odd," in recovered(runs.parent)[0]


def test_a_newer_schema_is_named_and_kept_for_the_newer_version(runs: Path) -> None:
    path = killed(runs, "odd")
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    os.utime(path, (1_000_000, 1_000_000))
    with pytest.raises(InputFileError, match="newer than this version"):
        journal.read(path)
    recovered(runs.parent)
    assert Path(f"{path}.lock").exists()


# --- receipts ------------------------------------------------------------------------------------


def read_all(runs: Path) -> dict[str, str]:
    """Read a directory by every reader; return the skipped files with their reasons."""
    found = list(history.read([runs.parent]))
    assert [one.run_id for one in found if isinstance(one, history.PastRun)] == ["valid"]
    skipped: dict[str, str] = {}
    (training,) = merging.merge(runs, lambda path, reason: skipped.update({path.name: reason}))
    assert [part.segment.run_id for part in training.parts] == ["valid"]
    Archive(runs.parent, "digits").last()
    assert skipped == {
        one.path.name: one.reason for one in found if isinstance(one, history.Skipped)
    }
    return skipped


def data() -> dict[str, Any]:
    return json.loads(json.dumps(receipt.receipt(report_of("odd")), default=str))


RECEIPT_ODD: list[tuple[str, Any]] = [
    *ODD,
    ("energy_kwh", {"value": 1.0, "low_95": 2.0, "high_95": 3.0}),
    ("energy_kwh", {"value": None, "low_95": None, "high_95": None}),
    ("energy_kwh", "1"),
    ("hours", [{"start": "1-1-1", "hardware_energy_kwh": 1.0, "emissions_kg": 1.0}]),
    ("run", {}),
    ("run", {**data()["run"], "run_id": "../../x"}),
    ("run", {**data()["run"], "settings": {"a": [[[]]]}}),
    ("host", []),
    ("schema_version", "1"),
    ("schema_version", 2),
]


@pytest.mark.parametrize(("key", "value"), RECEIPT_ODD)
def test_an_odd_receipt_is_named_and_the_valid_one_is_read(
    runs: Path, key: str, value: object
) -> None:
    odd = runs / f"odd{receipt.SUFFIX}"
    odd.write_text(json.dumps({**data(), key: value}))
    assert set(read_all(runs)) == {odd.name}


def test_a_journal_replaces_a_damaged_receipt(runs: Path) -> None:
    killed(runs, "odd")
    (runs / f"odd{receipt.SUFFIX}").write_text("{}")
    found = list(history.read([runs.parent]))
    assert {one.run_id for one in found if isinstance(one, history.PastRun)} == {"valid", "odd"}


def test_every_part_of_a_receipt_is_read(runs: Path) -> None:
    names = set(Receipt.__dataclass_fields__)
    assert names <= set(data())
    not_used = {"schema_version", "components", "missing_s", "shared", "water_l"}
    assert set(data()) - names <= {*not_used, "not_measured"}


def test_a_receipt_of_an_older_version_is_read_and_of_a_newer_one_too(runs: Path) -> None:
    path = runs / f"odd{receipt.SUFFIX}"
    old = data()
    for name in (
        "is_known",
        "schema_version",
        "utilization",
        "refused_meters",
        "hours",
        "training",
    ):
        old.pop(name, None)
    for name in ("trial", "told", "phases_synced"):
        old["run"].pop(name)
    for one in old["intensities"]:
        one.pop("low_carbon_share")
    path.write_text(json.dumps({**old, "further": {"x": 1}}))
    assert past_runs.read(path).energy_kwh.estimate == report_of("odd").energy_kwh


def test_intensities_of_an_older_version_keep_their_uncertainty(runs: Path) -> None:
    path = killed(runs, "old")
    text = path.read_text()
    path.write_text(text.replace(', "low_carbon_share": null', ""))
    assert path.read_text() != text
    found, new = past_runs.read(path), report_of("old")
    assert [one.low_carbon_share for one in found.intensities] == [None, None]
    assert [one.sigma_ln for one in found.intensities] == [0.2, 0.05]
    assert found.emissions_kg.estimate == pytest.approx(new.emissions_kg)


def test_a_run_of_unknown_energy_is_read_and_counts_for_nothing(runs: Path) -> None:
    """Receipts have null there, or 0 as they had before."""
    totals = {"energy_kwh": None, "emissions_kg": None}
    interval = {"value": None, "low_95": None, "high_95": None}
    unknown = {
        **data(),
        "is_known": False,
        **dict.fromkeys(("hardware_energy_kwh", "power_w", "water_l")),
        **dict.fromkeys(("energy_kwh", "emissions_kg"), interval),
        "training": totals,
        "hours": [],
        "not_measured": ["cpu"],
    }
    unknown["intensities"] = [{**one, **totals} for one in unknown["intensities"]]
    unknown["phases"] = [{**one, "joules": None, "energy_kwh": None} for one in unknown["phases"]]
    (runs / f"odd{receipt.SUFFIX}").write_text(json.dumps(unknown))
    found = [one for one in history.read([runs.parent]) if isinstance(one, history.PastRun)]
    assert {one.run_id: one.is_known for one in found} == {"valid": True, "odd": False}
    parts = [part for one in merging.merge(runs) for part in one.parts]
    assert {part.segment.run_id: part.is_known for part in parts} == {"valid": True, "odd": False}


# --- files that are no regular ones --------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "device", "sparse"])
def test_what_is_no_file_is_named_at_once(runs: Path, kind: str) -> None:
    for suffix in (SUFFIX, receipt.SUFFIX):
        path = runs / f"odd{suffix}"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as opened:
                os.chdir(runs)
                opened.bind(path.name)
        elif kind == "directory":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            with path.open("wb") as file:
                file.truncate(6 * 2**30)
        Path(f"{path}.lock").touch()
    if kind != "sparse":
        assert len(read_all(runs)) == 2
    rows, _ = recovered(runs.parent)
    assert ",own," in rows
    assert (runs / f"own{receipt.SUFFIX}").exists()


# --- copies under other names --------------------------------------------------------------------


def test_a_copy_of_a_journal_replaces_no_results(runs: Path) -> None:
    """A copy may be cut at any record, and its run may have a complete receipt."""
    path = killed(runs, "copy")
    text = path.read_text().replace('"run_id": "copy"', '"run_id": "valid"')
    path.write_text(text.replace('"duration_s": 7200.0', '"duration_s": 1.0'))
    os.utime(path, (1_000_000, 1_000_000))
    before = (runs / f"valid{receipt.SUFFIX}").read_bytes()
    rows, warnings = recovered(runs.parent)
    assert (runs / f"valid{receipt.SUFFIX}").read_bytes() == before
    assert ",valid," not in rows
    assert [path.name in text for text in warnings] == [True]
    assert recovered(runs.parent)[1] == []  # named once


def test_of_a_run_with_several_files_the_receipt_counts(runs: Path) -> None:
    path = killed(runs, "copy")
    text = path.read_text().replace('"run_id": "copy"', '"run_id": "valid"')
    path.write_text(text.replace('"duration_s": 7200.0', '"duration_s": 1.0'))
    ((_, found),) = past_runs.in_directory(runs)
    assert isinstance(found, Receipt)
    assert found.duration_s == 7_200.0
    assert read_all(runs) == {}


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    (found,) = history.read([tmp_path / ("x" * 300)])
    assert isinstance(found, history.Skipped)


def test_a_receipt_of_an_older_version_without_a_reading_is_unknown(runs: Path) -> None:
    """It has 0 in the place of an unknown energy, and no `is_known`."""
    old = {**data(), "energy_kwh": {"value": 0.0}, "emissions_kg": {"value": 0.0}}
    del old["is_known"]
    nothing = {"measured_j": 0.0, "extrapolated_j": 0.0}
    unread = [{**one, **nothing, "missing_s": 7_200.0} for one in old["devices"]]
    read = [*unread[1:], {**unread[0], "missing_s": 0.0}]
    path = runs / f"odd{receipt.SUFFIX}"
    for devices, is_known in ((unread, False), ([], False), (read, True)):
        path.write_text(json.dumps({**old, "devices": devices}))
        assert past_runs.read(path).is_known is is_known
