"""The lifecycle of a training: its begin, phases, epochs and end.

    idle ──begin()──▶ running ──end(status)──▶ idle
                        │ phase(name)      ends a phase and begins another: setup, train, validate …
                        │ epoch_begin()    opens a window
                        │ epoch_end()      closes it

No method raises or blocks the training thread for longer than the tracker does. Only `end` waits for
other ranks, for a short time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training import calls
from carbon_callbacks._training.calls import OnExit
from carbon_callbacks._training.improvement import NO_RULE, Improvement, ImprovementRule
from carbon_callbacks._training.rank_sync import RankSync
from carbon_callbacks._training.shown import ShownAsTracker
from carbon_callbacks._training.state import TrainingState
from carbon_callbacks._training.tracker import TrainingTracker
from carbon_core import raise_if_of_program, status_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_core import OpenWindow, Report, Segment, SettingArguments

# The meters are found before the first batch, whose time would be taken otherwise.
_PREPARE_TIMEOUT_S = 1.0


class Lifecycle(ShownAsTracker):
    """Measures one training after the other.

    Attributes:
        tracker: Measures; has a run for each training.
        name: Distinguishes this callback from others in checkpoints, and on other ranks.
        may_stop: Whether a budget or a bound of the improvement is set that stops the training.
        disabled: Whether to do nothing, because another callback measures this training.
        steps: Laps of the current training, by its steps.

    Args:
        name: As above; the project's name by default.
        sync: Whether to wait for the devices' queues where a phase ends.
        improvement: The metric that should improve, and how much.
        **overrides: Settings of the tracker.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        sync: bool = True,
        improvement: ImprovementRule = NO_RULE,
        **overrides: Unpack[SettingArguments],
    ) -> None:
        self._improvement_rule = improvement.checked()
        self.tracker = TrainingTracker(**overrides)
        self.tracker.sync = sync
        settings = self.tracker.settings
        self.name = name or settings.project_name
        has_budget = any((settings.budget_kwh, settings.budget_kg_co2e))
        self._budget_stops = has_budget and settings.on_budget == "stop"
        self.may_stop = self._budget_stops or improvement.stops
        self.disabled = False
        self._latest: Report | None = None
        self._restored: tuple[Segment, ...] = ()
        self._restored_improvement: Any = None
        self._state = TrainingState()
        self.steps = self._state.forecast.steps
        self._ranks = RankSync(self.tracker, self._state)

    def _shown_tracker(self) -> TrainingTracker:
        return self.tracker

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep an error of this package, or of a logger that it calls, out of the training."""
        outer = sys.exc_info()[1]
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the guard of the training thread
            raise_if_of_program(error, outer)
            self.tracker.warn(f"a hook failed: {error!r}")

    @property
    def active(self) -> bool:
        """Whether a training is running, as the framework reports it: measured or not."""
        return bool(self._state.phase)

    @property
    def running(self) -> bool:
        """Whether a training is being measured."""
        return self.tracker.running

    @property
    def epoch_age_s(self) -> float | None:
        """Seconds since the current epoch began; None between two of them."""
        return self._state.epoch.age_s if self._state.epoch is not None else None

    @property
    def report(self) -> Report | None:
        """The totals of the latest finished run."""
        return self.tracker.final_report

    def report_of_training(self) -> Report | None:
        """Return the totals of the current or latest training; evaluations after it do not count."""
        if self.running and not self._state.standalone:
            return self.tracker.report()
        return self._latest

    def preload(self) -> None:
        """Load the modules of a run, long before one may begin."""
        self.tracker.preload()

    def prepare(self) -> None:
        """Find and read the meters of the next run, while the framework sets up a training."""
        if self.disabled or self.running:
            return
        self.tracker.prepare()
        call = calls.innermost()
        if call is not None:  # which may fail before the run begins
            call.on_exit(lambda error: self.tracker.close_prepared())

    def begin(
        self,
        *,
        resumes: bool = False,
        ranks: int = 1,
        kind: str = "train",
        trial: str | None = None,
        on_exit: OnExit | None = None,
    ) -> None:
        """Begin a run; one that has not been ended by any hook is closed first.

        Args:
            resumes: Whether it continues what was restored; that is dropped otherwise.
            ranks: How many ranks train together.
            kind: What begins: ranks count the runs of a kind.
            trial: The trial of a search that it belongs to.
            on_exit: Is called when the wrapped method of the framework ends that is running now; by
                default, a run that is not over then is ended.
        """
        if self.disabled:
            return
        with self.guard():
            if self.running:
                self.end("interrupted")
            earlier, self._restored_improvement = self._restored_improvement, None
            improvement = Improvement(self._improvement_rule, earlier if resumes else None)
            self._state = TrainingState("setup", improvement=improvement)
            self.steps = self._state.forecast.steps
            restored, self._restored = self._restored if resumes else (), ()
            self.tracker.trial = trial
            self.tracker.prepare(_PREPARE_TIMEOUT_S)
            self.tracker.start()
            self.tracker.continue_from(restored)
        call = calls.innermost()
        if call is not None:
            call.on_exit(on_exit or self.exit)
        with self.guard():
            self._ranks = RankSync(self.tracker, self._state)
            if ranks > 1:
                self._ranks.join(self.name, kind, may_stop=self.may_stop)

    def phase(self, name: str) -> None:
        """Begin a phase; work that the devices have queued belongs to the previous one."""
        if name != self._state.phase and self.running and not self._state.standalone:
            with self.guard():
                self.tracker.drain_devices()
                self.tracker.mark(name)
                self._state.phase = name

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Enter a phase for a block, then return to the previous one."""
        before = self._state.phase
        self.phase(name)
        yield
        if before:
            self.phase(before)

    @contextlib.contextmanager
    def measure(self, *, resumes: bool = False, ranks: int = 1) -> Iterator[None]:
        """Measure a block that trains, in a loop without hooks; an exception ends the run.

        Args:
            resumes: Whether it continues what was restored.
            ranks: How many ranks enter the block.
        """
        self.begin(resumes=resumes, ranks=ranks)
        yield from self._to_the_end()

    @contextlib.contextmanager
    def evaluation(self, kind: str, *, ranks: int = 1) -> Iterator[None]:
        """Measure a block that evaluates; outside of a training, it is a run of its own.

        Args:
            kind: Its phase outside of a training; within one the phase is ``validate``.
            ranks: How many ranks enter the block.
        """
        if self.active:
            with self.within("validate"):
                yield
            return
        self.begin(ranks=ranks, kind=kind)
        self.phase(kind)
        self._state.standalone = True
        yield from self._to_the_end()

    def epoch_begin(self, fraction: float | None = None) -> None:
        """Begin an epoch of training.

        Args:
            fraction: Part of the training (0 to 1) that was done before.
        """
        self.phase("train")
        with self.guard():
            self._state.begin_epoch(self.tracker, fraction)

    def epoch_end(self) -> None:
        """End an epoch of training."""
        with self.guard():
            epoch, self._state.epoch = self._state.epoch, None
            if epoch is not None:
                self._close_window(epoch)
                self._state.note_window(epoch)
            if self.may_stop:
                self.tracker.report()  # which compares the totals with the budget

    def end(self, status: str = "completed") -> None:
        """End the run; does nothing without one.

        Args:
            status: How it ended; only a ``completed`` one waits for the totals of the other ranks.
        """
        with self.guard():
            self._ranks.close(completed=status == "completed")
        if self.running:
            with self.guard():
                if status == "completed":
                    self.tracker.drain_devices()
                logged, state = self._state.logged.values(), self._state
                self.tracker.note_training(logged, state.work(), state.dataset_samples())
                if status == "completed" and not self._state.standalone:
                    self._state.improvement.end(self._state.logged.names)
                    self._deliver_improvement()
                self.tracker.stop(status)
            if not self._state.standalone:
                self._latest = self.report
        self._state.phase = ""
        self.steps.close()

    def exit(self, error: BaseException | None) -> None:
        """End a run that no hook has ended: its callback was removed, or an exception was raised."""
        if self.active:
            self.end(status_of(error) if error is not None else "interrupted")

    def _to_the_end(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.exit(error)
            raise
        self.end()

    def _deliver_improvement(self) -> None:
        """Log the messages of the improvement, on the rank whose metrics all ranks log."""
        for text in self._state.improvement.taken_messages():
            if self._ranks.decides:
                self.tracker.warn(text)

    def _close_window(self, window: OpenWindow) -> None:
        """Close a window once the devices are idle."""
        self.tracker.drain_devices()
        window.close()
