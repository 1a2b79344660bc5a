"""Energy that several runs have measured counts once: that of a tracker within a measured command."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.outputs.conftest import report_of

from carbon_core import EmissionsTracker
from carbon_core.outputs import receipt
from carbon_core.outputs.history import PastRun, read
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Snapshot
from carbon_core.report import Phase, Report
from carbon_core.tracker.parts import Parts


def saved(directory: Path, report: Report) -> None:
    runs = directory / "carbon_runs"
    runs.mkdir(parents=True, exist_ok=True)
    receipt.write(report, runs / f"{report.run.run_id}{receipt.SUFFIX}")


def lasting(report: Report, seconds: float) -> Report:
    end = report.window.end
    return replace(report, window=replace(end, t_ns=int(seconds * 1e9)) - Snapshot(0))


def without(report: Report, *components: str) -> Report:
    """Return the report of a run with fewer meters."""
    end = report.window.end
    kept = [i for i, device in enumerate(end.devices) if device.component not in components]
    devices = tuple(end.devices[i] for i in kept)
    energies = tuple(end.energies[i] for i in kept)
    return replace(report, window=replace(end, devices=devices, energies=energies) - Snapshot(0))


def runs(directory: Path) -> dict[str, PastRun]:
    return {one.run_id: one for one in read([directory]) if isinstance(one, PastRun)}


def total_kwh(directory: Path) -> float:
    return sum(one.energy_kwh.value * one.counted for one in runs(directory).values())


OUTER, INNER = report_of("outer", kwh=4.0), report_of("inner", kwh=3.0, within=("outer",))


def test_an_inner_run_is_part_of_the_outer_one(tmp_path: Path) -> None:
    saved(tmp_path, OUTER)
    saved(tmp_path, INNER)
    inner = runs(tmp_path)["inner"]
    assert (inner.part_of, inner.counted) == ("outer", 0.0)
    assert total_kwh(tmp_path) == pytest.approx(OUTER.energy_kwh.value)


def test_an_inner_run_counts_where_the_outer_one_is_not_found(tmp_path: Path) -> None:
    saved(tmp_path, INNER)
    inner = runs(tmp_path)["inner"]
    assert (inner.part_of, inner.counted) == ("", 1.0)


def test_two_trainings_after_each_other_are_both_part_of_it(tmp_path: Path) -> None:
    saved(tmp_path, OUTER)
    for run_id in ("first", "second"):
        saved(tmp_path, lasting(report_of(run_id, kwh=1.0, within=("outer",)), 3_000))
    assert total_kwh(tmp_path) == pytest.approx(OUTER.energy_kwh.value)


def test_of_nested_runs_the_outermost_counts(tmp_path: Path) -> None:
    saved(tmp_path, OUTER)
    saved(tmp_path, report_of("middle", within=("outer",)))
    saved(tmp_path, report_of("inner", within=("middle", "outer")))
    assert {name: one.counted for name, one in runs(tmp_path).items()} == {
        "outer": 1.0, "middle": 0.0, "inner": 0.0,
    }  # fmt: skip
    (tmp_path / "carbon_runs" / f"middle{receipt.SUFFIX}").unlink()
    assert total_kwh(tmp_path) == pytest.approx(OUTER.energy_kwh.value)


def test_of_an_outer_run_that_died_only_its_time_is_included(tmp_path: Path) -> None:
    journal = Journal(journal_path(tmp_path, "outer"), OUTER)
    journal.append(lasting(replace(OUTER, status="running"), 1_800))
    journal.close(saved=False)
    saved(tmp_path, INNER)
    assert runs(tmp_path)["inner"].counted == pytest.approx(0.75)


def test_a_run_of_no_time_before_the_outer_one_counts(tmp_path: Path) -> None:
    saved(tmp_path, OUTER)
    before = replace(INNER.run, started_at="2026-01-01T00:00:00+00:00")
    saved(tmp_path, lasting(replace(INNER, run=before), 0.0))
    assert runs(tmp_path)["inner"].counted == 1.0


def test_what_an_outer_run_with_fewer_meters_lacks_is_counted(tmp_path: Path) -> None:
    saved(tmp_path, without(OUTER, "gpu"))
    saved(tmp_path, INNER)
    assert runs(tmp_path)["inner"].counted == pytest.approx(0.7)
    saved(tmp_path, report_of("middle", within=("outer",)))
    saved(tmp_path, report_of("inner", kwh=3.0, within=("middle", "outer")))
    found = runs(tmp_path)
    assert (found["middle"].counted, found["inner"].counted) == (pytest.approx(0.7), 0.0)


def test_an_outer_run_without_any_reading_includes_nothing(tmp_path: Path) -> None:
    saved(tmp_path, without(OUTER, "cpu", "gpu", "ram"))
    saved(tmp_path, INNER)
    assert runs(tmp_path)["inner"].counted == 1.0


@pytest.mark.parametrize("ids", [("a", "a"), ("a", "b")])
def test_runs_within_each_other_count(ids: tuple[str, str], tmp_path: Path) -> None:
    """Only damaged or foreign files have these."""
    saved(tmp_path, report_of(ids[0], within=(ids[1],)))
    saved(tmp_path, report_of(ids[1], within=(ids[0],)))
    assert {one.counted for one in runs(tmp_path).values()} == {1.0}


@pytest.mark.parametrize(
    ("names", "facts", "kind"),
    [
        (("setup", "train", "validate"), {}, "training"),
        (("setup", "evaluate"), {"phases_synced": True}, "evaluation"),
        (("setup", "predict"), {}, "evaluation"),
        (("setup", "score"), {"phases_synced": False}, "evaluation"),
        (("setup", "score"), {}, ""),
        (("setup",), {"phases_synced": True}, ""),
        (("run",), {}, ""),
    ],
)
def test_phases_tell_trainings_from_evaluations(
    names: tuple[str, ...], facts: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    phases = tuple(Phase(name, 1.0, 1.0, 1) for name in names)
    saved(tmp_path, replace(report_of("run-1", **facts), phases=phases))
    assert runs(tmp_path)["run-1"].kind == kind


def test_a_tracker_within_another_of_the_same_process_counts_once(tmp_path: Path) -> None:
    def tracker(project: str) -> EmissionsTracker:
        return EmissionsTracker(project_name=project, output_dir=str(tmp_path), log_level="error")

    with tracker("outer") as outer:
        for project in ("first", "second"):
            with tracker(project):
                pass
    with tracker("after"):
        pass
    found = {one.project_name: one for one in runs(tmp_path).values()}
    within = {name: one.within for name, one in found.items()}
    ids = (outer.run_id,)
    assert within == {"outer": (), "first": ids, "second": ids, "after": ()}


def test_of_two_runs_that_threads_start_at_once_one_is_within_the_other(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    class Together(EmissionsTracker):
        def make_parts(self, run_id: str) -> Parts:
            parts = super().make_parts(run_id)
            both.wait()  # neither has begun when the other looks for active runs
            return parts

    trackers = [Together(output_dir=str(tmp_path), log_level="error") for _ in range(2)]
    threads = [threading.Thread(target=tracker.start) for tracker in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {tracker.run_id for tracker in trackers}
    for tracker in trackers:
        tracker.stop()
    found = sorted(runs(tmp_path).values(), key=lambda one: len(one.within))
    assert [one.within for one in found] == [(), (found[0].run_id,)]
    assert {one.run_id for one in found} == ids
