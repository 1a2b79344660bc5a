"""The tracker on fakes: windows, tasks, phases and saved rows are differences of one ledger."""

from __future__ import annotations

import csv
import math
import threading
from pathlib import Path

import pytest
from faults.children import receipts, rows
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, lab, said, steady

from carbon_core import (
    EmissionsData,
    EmissionsTracker,
    Report,
    TaskEmissionsTracker,
    status_of,
    track_task_emissions,
)
from carbon_core.messages import Messages
from carbon_core.outputs.delivery import Delivery
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.records import Amounts
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.tracker.parts import Parts

# What `optuna.TrialPruned` looks like from outside.
TrialPruned = type("TrialPruned", (Exception,), {"__module__": "optuna.exceptions"})


def kwh(joules: float) -> float:
    return joules / JOULES_PER_KWH


def in_files(directory: Path, **settings: bool) -> tuple[LabTracker, FakeClock]:
    """Return a tracker that saves, and its clock."""
    chosen = {"always_update": False, "keep_journal": True, **settings}
    return lab(make_outputs=lambda: [RunDirectory(directory, "emissions.csv", **chosen)])


# --- the whole run -------------------------------------------------------------------------------


def test_a_run_holds_energy_duration_and_grams() -> None:
    tracker, clock = lab(100.0)
    assert not tracker.running
    tracker.start()
    assert tracker.running
    clock.advance(36)
    assert tracker.stop() == pytest.approx(kwh(3600))
    assert not tracker.running
    report = tracker.final_report
    assert report is not None
    assert report.status == "completed"
    assert report.duration_s == pytest.approx(36)
    assert report.energy_kwh.value == pytest.approx(kwh(3600))
    assert report.emissions_kg.value == pytest.approx(kwh(3600))
    assert report.power_w == pytest.approx(100)


def test_power_times_duration_is_energy_everywhere() -> None:
    tracker, clock = lab(123.0)
    tracker.start()
    window = tracker.window("w")
    clock.advance(7.5)
    window.close()
    clock.advance(3.25)
    tracker.stop()
    for report in (tracker.final_report, window.report()):
        assert report is not None
        assert report.power_w * report.duration_s == pytest.approx(
            report.energy_kwh.value * JOULES_PER_KWH
        )
    data = tracker.final_emissions_data
    assert data is not None
    assert data.cpu_power * data.duration == pytest.approx(data.cpu_energy * JOULES_PER_KWH)
    assert data.emissions_rate * data.duration == pytest.approx(data.emissions)


def test_final_figures_are_none_until_a_run_has_ended() -> None:
    tracker, clock = lab()
    nothing = (tracker.final_emissions, tracker.final_emissions_data, tracker.final_report)
    assert nothing == (None, None, None)
    tracker.start()
    clock.advance(10)
    assert tracker.final_emissions is None
    kilograms = tracker.stop()
    assert tracker.final_emissions == kilograms
    data = tracker.final_emissions_data
    assert isinstance(data, EmissionsData)
    assert data.emissions == kilograms
    assert data.energy_consumed == pytest.approx(kwh(1000))
    assert (data.run_id, data.project_name) == (tracker.run_id, "lab")


def test_the_total_is_the_sum_of_the_components() -> None:
    clock = FakeClock()
    meters = [steady(clock, 100, "cpu"), steady(clock, 300, "gpu"), steady(clock, 20, "ram")]
    tracker = LabTracker(clock, lambda: meters)
    tracker.start()
    clock.advance(60)
    tracker.stop()
    data = tracker.final_emissions_data
    assert data is not None
    parts = (data.cpu_energy, data.gpu_energy, data.ram_energy)
    assert parts == pytest.approx((kwh(6000), kwh(18000), kwh(1200)))
    assert data.energy_consumed == pytest.approx(sum(parts))


def test_a_second_run_counts_from_nothing() -> None:
    tracker, clock = lab()
    tracker.start()
    first_id = tracker.run_id
    clock.advance(10)
    tracker.stop()
    clock.advance(1000)
    tracker.start()
    assert tracker.run_id != first_id
    clock.advance(5)
    assert tracker.stop() == pytest.approx(kwh(500))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "completed"),
        (ValueError(), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(), "interrupted"),
        (TrialPruned(), "pruned"),
        (type("Own", (TrialPruned,), {})(), "pruned"),
        (type("TrialPruned", (Exception,), {"__module__": "somewhere.else"})(), "failed"),
    ],
)
def test_a_block_ends_the_run_with_its_status(error: BaseException | None, status: str) -> None:
    tracker, clock = lab()

    def work() -> None:
        with tracker as entered:
            assert entered is tracker
            clock.advance(10)
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)) as caught:
            work()
        assert caught.value is error
    assert status_of(error) == status
    assert tracker.final_report is not None
    assert tracker.final_report.status == status
    assert tracker.final_emissions == pytest.approx(kwh(1000))


def test_a_report_while_running_is_up_to_now() -> None:
    tracker, clock = lab()
    tracker.start()
    clock.advance(10)
    report = tracker.report()
    assert report is not None
    assert report.status == "running"
    assert report.energy_kwh.value == pytest.approx(kwh(1000))
    clock.advance(10)
    assert report.energy_kwh.value == pytest.approx(kwh(1000)), "a report does not change"
    tracker.stop()


# --- windows -------------------------------------------------------------------------------------


def test_adjacent_windows_add_up_to_the_run() -> None:
    clock = FakeClock()
    # A power that changes all the time, in a counter.
    meter = FakeMeter(clock, lambda t_s: 50.0 * t_s + (t_s - 1000) ** 2)
    tracker = LabTracker(clock, lambda: [meter])
    tracker.start()
    windows = []
    for seconds in (1, 5, 2.5, 11):
        with tracker.window(f"epoch {seconds}") as window:
            clock.advance(seconds)
        windows.append(window)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert [window.duration_s for window in windows] == pytest.approx([1, 5, 2.5, 11])
    assert sum(window.energy_kwh for window in windows) == pytest.approx(report.energy_kwh.value)
    assert sum(w.emissions_kg for w in windows) == pytest.approx(report.emissions_kg.value)


def test_windows_nest_and_overlap() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    outer = tracker.window("outer")
    clock.advance(10)
    inner = tracker.window("inner")
    clock.advance(5)
    overlapping = tracker.window("overlapping")
    clock.advance(5)
    inner.close()
    clock.advance(5)
    overlapping.close()
    outer.close()
    clock.advance(100)
    tracker.stop()
    joules = [window.energy_kwh * JOULES_PER_KWH for window in (outer, inner, overlapping)]
    assert joules == pytest.approx([2500, 1000, 1000])
    assert outer.component_kwh("cpu") == pytest.approx(kwh(2500))
    assert outer.component_kwh("gpu") == 0


def test_an_open_window_goes_on_and_a_closed_one_does_not() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    window = tracker.window()
    clock.advance(10)
    assert window.energy_kwh == pytest.approx(kwh(1000))
    clock.advance(10)
    assert window.close().joules == pytest.approx(2000)
    clock.advance(10)
    assert window.close().joules == pytest.approx(2000)
    tracker.stop()
    assert window.energy_kwh == pytest.approx(kwh(2000))


def test_a_window_left_open_ends_with_the_run() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    window = tracker.window()
    clock.advance(10)
    tracker.stop()
    clock.advance(1000)
    assert window.duration_s == pytest.approx(10)
    assert window.energy_kwh == pytest.approx(kwh(1000))


def test_a_window_without_a_run_is_empty() -> None:
    tracker, _ = lab()
    with tracker.window("nothing") as window:
        pass
    assert window.duration_s == 0
    assert math.isnan(window.energy_kwh)
    assert math.isnan(window.emissions_kg)
    assert math.isnan(window.component_kwh("cpu"))
    assert window.report() is None


def test_a_window_keeps_to_its_own_run() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    window = tracker.window()
    clock.advance(10)
    window.close()
    tracker.stop()
    tracker.start()
    clock.advance(500)
    assert window.energy_kwh == pytest.approx(kwh(1000))
    tracker.stop()


# --- tasks ---------------------------------------------------------------------------------------


def test_a_task_returns_what_it_came_to() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    clock.advance(100)
    assert tracker.start_task("load") == "load"
    clock.advance(10)
    data = tracker.stop_task("load")
    assert isinstance(data, EmissionsData)
    assert data.duration == pytest.approx(10)
    assert data.energy_consumed == pytest.approx(kwh(1000))
    assert data.emissions == pytest.approx(kwh(1000))
    assert data.cpu_power == pytest.approx(100)
    clock.advance(10)
    assert tracker.stop() == pytest.approx(kwh(12_000)), "the whole run, tasks or not"


def test_tasks_start_the_tracker_and_their_deltas_add_up() -> None:
    tracker, clock = lab(100.0)
    parts = []
    for seconds in (3, 4):
        tracker.start_task(f"task {seconds}")
        clock.advance(seconds)
        data = tracker.stop_task()
        assert data is not None
        parts.append(data.energy_consumed)
    assert tracker.running
    assert sum(parts) == pytest.approx(tracker.stop())


def test_unnamed_and_repeated_tasks_get_names_of_their_own() -> None:
    tracker, clock = lab(100.0)
    names = [tracker.start_task() for _ in range(2)] + [tracker.start_task("x") for _ in range(2)]
    assert len(set(names)) == 4
    assert all(names)
    clock.advance(10)
    assert [tracker.stop_task(name) is not None for name in names] == [True] * 4
    tracker.stop()


def test_the_task_started_last_is_stopped_first() -> None:
    tracker, clock = lab(100.0)
    tracker.start_task("outer")
    clock.advance(10)
    tracker.start_task("inner")
    clock.advance(5)
    inner, outer = tracker.stop_task(), tracker.stop_task()
    assert inner is not None
    assert outer is not None
    assert (inner.duration, outer.duration) == pytest.approx((5, 15))
    assert tracker.stop_task() is None
    tracker.stop()


def test_a_task_that_never_was_is_none() -> None:
    tracker, _ = lab()
    tracker.start()
    assert tracker.stop_task("nothing") is None
    tracker.stop()
    assert tracker.stop_task("nothing") is None


def test_tasks_left_open_do_not_reach_into_the_next_run() -> None:
    tracker, clock = lab()
    tracker.start_task("left")
    clock.advance(10)
    tracker.stop()
    tracker.start()
    assert tracker.stop_task("left") is None
    tracker.stop()


# --- phases --------------------------------------------------------------------------------------


def test_marks_cut_the_run_into_phases() -> None:
    tracker, clock = lab(100.0, first_phase="setup")
    tracker.start()
    clock.advance(1)
    for _ in range(3):
        tracker.mark("train")
        clock.advance(10)
        tracker.mark("validate")
        clock.advance(2)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    found = {phase.name: (phase.duration_s, phase.joules, phase.count) for phase in report.phases}
    assert found == {
        "setup": pytest.approx((1, 100, 1)),
        "train": pytest.approx((30, 3000, 3)),
        "validate": pytest.approx((6, 600, 3)),
    }
    assert sum(phase.duration_s for phase in report.phases) == pytest.approx(report.duration_s)
    assert sum(phase.joules for phase in report.phases) == pytest.approx(report.window.joules)


def test_marks_that_come_together_are_booked_at_their_own_time() -> None:
    clock = FakeClock()
    first_read = threading.Event()
    meter = FakeMeter(clock, lambda t_s: 100.0 * t_s if first_read.wait(5) else None)
    tracker = LabTracker(clock, lambda: [meter], start_patience_s=0.0)
    tracker.start()
    for name in ("a", "b", "c"):
        clock.advance(10)
        tracker.mark(name)
    clock.advance(10)
    first_read.set()
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert [phase.name for phase in report.phases] == ["run", "a", "b", "c"]
    assert [phase.duration_s for phase in report.phases] == pytest.approx([10] * 4)


def test_any_number_of_phase_names_stays_bounded_and_adds_up() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    for i in range(400):
        tracker.mark(f"step {i}")
        clock.advance(1)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert len(report.phases) <= 257
    assert sum(phase.joules for phase in report.phases) == pytest.approx(report.window.joules)


def test_a_mark_without_a_run_is_nothing() -> None:
    tracker, _ = lab()
    tracker.mark("before")
    tracker.start()
    tracker.stop()
    tracker.mark("after")
    assert tracker.final_report is not None
    assert [phase.name for phase in tracker.final_report.phases] == ["run"]


# --- files ---------------------------------------------------------------------------------------


class Told:
    """An output of the user's; `calls` holds the methods that were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def open(self, report: Report) -> None:
        self.calls.append("open")

    def update(self, report: Report, delta: Amounts) -> None:
        self.calls.append("update")

    def close(self, report: Report, delta: Amounts) -> None:
        self.calls.append("close")


def with_least(directory: Path, min_duration_s: float) -> tuple[LabTracker, FakeClock, Told]:
    """Return a tracker that saves runs of a least duration, its clock, and an output of its own."""
    told, clock = Told(), FakeClock()

    def deliveries() -> list[Delivery]:
        return [Delivery("told", told, clock=clock, warn=tracker.messages.warn)]

    tracker = LabTracker(
        clock,
        lambda: [steady(clock, 100.0)],
        make_outputs=lambda: [
            RunDirectory(directory, "emissions.csv", always_update=False, keep_journal=True)
        ],
        make_deliveries=deliveries,
        min_duration_s=min_duration_s,
    )
    return tracker, clock, told


def test_a_run_shorter_than_the_least_leaves_nothing_but_its_report(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    tracker, clock, told = with_least(directory, 60)
    tracker.start()
    with tracker.window("part"):
        clock.advance(20)
    assert tracker.flush() == pytest.approx(kwh(2000))
    clock.advance(39)
    assert tracker.stop() == pytest.approx(kwh(5900))
    assert tracker.final_report is not None
    assert tracker.final_report.status == "completed"
    assert not directory.exists()
    assert said(tracker) == []
    assert told.calls == []


def test_a_run_that_becomes_long_enough_has_its_files_and_lines(tmp_path: Path) -> None:
    tracker, clock, told = with_least(tmp_path, 60)
    tracker.start()
    clock.advance(59)
    tracker.flush()
    assert list(tmp_path.iterdir()) == []
    clock.advance(1)
    tracker.flush()
    assert eventually(lambda: len(rows(tmp_path)) == 1)
    assert list((tmp_path / "carbon_runs").glob("*.journal.jsonl"))
    clock.advance(40)
    tracker.stop()
    (row,) = rows(tmp_path)
    assert float(row["duration"]) == pytest.approx(100)
    assert len(receipts(tmp_path)) == 1
    assert [line.split()[0] for line in said(tracker)] == ["completed", "measuring"]
    assert told.calls[0] == "open"
    assert told.calls[-1] == "close"


def test_a_run_that_is_long_enough_only_at_its_end_is_saved_whole(tmp_path: Path) -> None:
    tracker, clock, told = with_least(tmp_path, 10)
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert len(rows(tmp_path)) == len(receipts(tmp_path)) == 1
    assert not list((tmp_path / "carbon_runs").glob("*.jsonl.lock"))
    assert told.calls == ["open", "close"]


def test_a_short_run_still_warns(tmp_path: Path) -> None:
    tracker, clock, _ = with_least(tmp_path, 60)
    tracker.start()
    tracker.warn("something is wrong")
    clock.advance(1)
    tracker.stop()
    assert said(tracker) == ["something is wrong"]


def test_the_least_duration_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("CODECARBON_MIN_DURATION_S", "3600")
    with EmissionsTracker(output_methods=["csv", "boamps"], metadata={}) as tracker:
        pass
    assert tracker.final_report is not None
    assert tracker.final_report.components
    assert list(tmp_path.iterdir()) == []


def test_flush_writes_one_row_that_stop_updates(tmp_path: Path) -> None:
    tracker, clock = in_files(tmp_path)
    tracker.start()
    for joules in (1000, 2000):
        clock.advance(10)
        assert tracker.flush() == pytest.approx(kwh(joules))
        assert eventually(
            lambda joules=joules: (
                [float(row["energy_consumed"]) for row in rows(tmp_path)]
                == pytest.approx([kwh(joules)])
            )
        )
    clock.advance(10)
    tracker.stop()
    (row,) = rows(tmp_path)
    assert row["run_id"] == tracker.run_id
    assert float(row["energy_consumed"]) == pytest.approx(kwh(3000))
    assert float(row["duration"]) == pytest.approx(30)


def test_rows_of_other_runs_stay_when_a_row_is_updated(tmp_path: Path) -> None:
    for _ in range(2):
        tracker, clock = in_files(tmp_path)
        tracker.start()
        clock.advance(10)
        tracker.flush()
        clock.advance(10)
        tracker.stop()
    found = rows(tmp_path)
    assert len({row["run_id"] for row in found}) == len(found) == 2
    assert [float(row["energy_consumed"]) for row in found] == pytest.approx([kwh(2000)] * 2)


@pytest.mark.parametrize("always_update", [True, False])
@pytest.mark.parametrize("keep_journal", [True, False])
def test_row_and_receipt_hold_what_stop_returned(
    tmp_path: Path, always_update: bool, keep_journal: bool
) -> None:
    tracker, clock = in_files(tmp_path, always_update=always_update, keep_journal=keep_journal)
    with tracker:
        clock.advance(30)
    (row,), (receipt,) = rows(tmp_path), receipts(tmp_path)
    assert float(row["emissions"]) == tracker.final_emissions
    assert receipt["emissions_kg"]["value"] == tracker.final_emissions
    assert receipt["status"] == "completed"
    assert receipt["run"]["run_id"] == row["run_id"] == tracker.run_id
    assert list((tmp_path / "carbon_runs").glob("*.journal.jsonl")) != [] or not keep_journal


def test_a_flush_without_a_run_is_nothing(tmp_path: Path) -> None:
    tracker, _ = in_files(tmp_path)
    assert tracker.flush() is None
    tracker.start()
    tracker.stop()
    assert tracker.flush() is None
    assert len(rows(tmp_path)) == 1


# --- faults of our own ---------------------------------------------------------------------------


class _Unmakeable(LabTracker):
    def make_parts(self, run_id: str) -> Parts:
        raise RuntimeError("nothing fits together")


def test_a_tracker_that_cannot_be_made_says_so_and_harms_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = _Unmakeable(FakeClock(), list)
    tracker.messages = Messages()
    tracker.start()
    tracker.mark("train")
    with tracker.window():
        pass
    assert tracker.stop() is None
    lines = caplog.text + capsys.readouterr().err
    assert lines.count("nothing fits together") == 1


class _Breaking:
    """An output that fails in a way nobody thought of."""

    def open(self, report: object) -> None:
        raise ZeroDivisionError("surprise")

    update = flush = close = open


def test_an_output_that_breaks_is_said_once_and_the_figure_returned() -> None:
    tracker, clock = lab(make_outputs=lambda: [_Breaking()])
    tracker.start()
    clock.advance(20)
    tracker.flush()
    assert tracker.stop() == pytest.approx(kwh(2000))
    assert sum("surprise" in line for line in said(tracker)) == 1


def test_a_meter_that_cannot_be_closed_does_not_keep_the_run() -> None:
    clock = FakeClock()

    class Sticky(FakeMeter):
        def close(self) -> None:
            raise OSError("busy")

    sticky, other = Sticky(clock, lambda t_s: 100.0 * t_s, fake_device()), steady(clock, 10, "gpu")
    tracker = LabTracker(clock, lambda: [sticky, other])
    tracker.start()
    clock.advance(10)
    assert tracker.stop() == pytest.approx(kwh(1100))
    assert other.closed
    assert sum("busy" in line for line in said(tracker)) == 1


def test_lines_are_shown_on_the_users_thread_only() -> None:
    shown_by: list[str] = []

    class Watching(Messages):
        def deliver(self) -> None:
            shown_by.append(threading.current_thread().name)
            super().deliver()

    tracker, clock = lab(messages=Watching(level=100))
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert set(shown_by) == {threading.current_thread().name}


def test_totals_have_codecarbons_names_and_types() -> None:
    tracker, clock = lab()
    assert (tracker._total_energy.kWh, tracker._total_emissions) == (0.0, 0.0)
    tracker.start()
    before = tracker._total_energy
    clock.advance(36)
    report = tracker.report()
    assert report is not None
    assert tracker._total_energy.kWh == report.energy_kwh.value == pytest.approx(1e-3)
    assert tracker._total_cpu_energy == tracker._total_energy > before
    assert float(tracker._total_energy - before) == pytest.approx(1e-3)
    assert ((tracker._total_energy + tracker._total_energy) / 2).kWh == pytest.approx(1e-3)
    assert (tracker._total_energy * 2).kWh == pytest.approx(2e-3)
    assert tracker._total_gpu_energy.kWh == tracker._total_ram_energy.kWh == 0.0
    assert pytest.approx(100) == tracker._cpu_power.W
    assert tracker._cpu_power.kW == pytest.approx(0.1)
    assert (tracker._gpu_power.W, tracker._ram_power.W) == (0.0, 0.0)
    assert tracker._total_water.litres == report.water_l
    tracker.stop()
    assert tracker._total_emissions == tracker.final_emissions
    with pytest.raises(AttributeError):
        tracker._total_energy = before


def test_a_block_and_a_function_can_be_tasks() -> None:
    tracker, clock = lab()

    @track_task_emissions(tracker=tracker, task_name="function")
    def work(seconds: float) -> str:
        clock.advance(seconds)
        return "done"

    with TaskEmissionsTracker("block", tracker=tracker) as block:
        clock.advance(10)
    assert [work(20), work(30)] == ["done", "done"]
    assert block.tracker is tracker
    assert tracker.running
    tracker.stop()
    tasks = [(name, report.duration_s) for name, report in tracker.final_report.tasks]
    assert tasks == [("block", 10), ("function", 20), ("function", 30)]


def test_a_task_without_a_tracker_has_one_for_each_call(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    @track_task_emissions
    def work() -> int:
        return 5

    assert [work(), work()] == [5, 5]
    with pytest.raises(KeyError), TaskEmissionsTracker("fails") as task:
        raise KeyError
    assert task.tracker.final_report.status == "failed"
    assert len(rows(tmp_path)) == 3


# --- late readings -------------------------------------------------------------------------------


class LateMeter:
    """A counter of 100 W, and of 300 W after 10 s, whose next read waits for the test."""

    def __init__(self, clock: FakeClock) -> None:
        self.begun_s = clock.monotonic_ns() / 1e9
        self.is_late = False
        self.blocked, self.released = threading.Event(), threading.Event()
        self.meter = FakeMeter(clock, self.joules, period_s=1e6)

    def joules(self, t_s: float) -> float:
        if self.is_late:
            self.blocked.set()
            self.released.wait(10)
        seconds = t_s - self.begun_s
        return 100 * seconds + 200 * max(0.0, seconds - 10)


@pytest.fixture
def late(tmp_path: Path) -> tuple[LabTracker, FakeClock, LateMeter]:
    """A started tracker that has known 100 W for 10 s, its clock and its meter."""
    clock = FakeClock()
    meter = LateMeter(clock)
    own = {"always_update": False, "keep_journal": True}
    tracker = LabTracker(
        clock,
        lambda: [meter.meter],
        start_patience_s=10.0,
        make_outputs=lambda: [RunDirectory(tmp_path, "emissions.csv", **own)],
    )
    tracker.start()
    clock.advance(10)
    assert tracker.report() is not None
    return tracker, clock, meter


def test_a_window_whose_reading_is_late_says_so_and_is_corrected(
    late: tuple[LabTracker, FakeClock, LateMeter],
) -> None:
    tracker, clock, meter = late
    window = tracker.window("w")
    assert eventually(lambda: tracker.report() is not None and not window.provisional)
    meter.is_late = True
    clock.advance(10)
    early = window.close()
    assert early.provisional
    assert early.joules == pytest.approx(1_000)  # of the power before
    report = window.report()
    assert report is not None
    assert report.provisional
    whole = tracker.report()
    assert whole is not None
    assert whole.provisional
    meter.is_late = False
    meter.released.set()
    assert eventually(lambda: not window.provisional)
    assert window.result.joules == pytest.approx(3_000)
    tracker.stop()
    final = tracker.final_report
    assert final is not None
    assert not final.provisional
    assert final.window.joules == pytest.approx(4_000)


def test_a_task_whose_reading_is_late_is_right_in_the_files(
    late: tuple[LabTracker, FakeClock, LateMeter], tmp_path: Path
) -> None:
    tracker, clock, meter = late
    tracker.start_task("task")
    assert tracker.report() is not None  # its first mark has its reading
    meter.is_late = True
    clock.advance(10)
    data = tracker.stop_task("task")
    assert data is not None
    assert data.energy_consumed == pytest.approx(kwh(1_000))
    meter.is_late = False
    meter.released.set()
    tracker.stop()
    final = tracker.final_report
    assert final is not None
    ((name, task),) = final.tasks
    assert (name, task.provisional) == ("task", False)
    assert task.window.joules == pytest.approx(3_000)
    (path,) = tmp_path.glob("emissions_*.csv")
    (row,) = csv.DictReader(path.open())
    assert float(row["energy_consumed"]) == pytest.approx(kwh(3_000))


def test_a_task_whose_reading_never_comes_is_extrapolated_to_the_end(
    late: tuple[LabTracker, FakeClock, LateMeter],
) -> None:
    tracker, clock, meter = late
    tracker.start_task("task")
    assert tracker.report() is not None
    meter.is_late = True
    clock.advance(10)
    tracker.stop_task("task")
    tracker.stop()
    meter.released.set()
    final = tracker.final_report
    assert final is not None
    assert final.tasks[0][1].window.joules == pytest.approx(1_000)
    assert final.tasks[0][1].missing_s == pytest.approx(10)
