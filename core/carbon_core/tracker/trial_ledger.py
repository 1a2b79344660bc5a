"""The trials of one run: each has an equal share of what is used while it is open.

The share of an open trial is a cumulative quantity, as the energy of the run is: between two changes it
grows by the energy of the run, divided by the number of open trials. What a trial has used is the
difference of its values at the trial's end and begin, so that trials add up to the run exactly, but for
the time without any.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import NamedTuple

from carbon_core.clock import Clock
from carbon_core.hardware.study_shares import membership_of
from carbon_core.record import replace
from carbon_core.records import NO_ENERGY, Energy, Snapshot, Window
from carbon_core.report import Report, of_window
from carbon_core.tracker.open_window import OpenWindow
from carbon_core.trials import RUNNING, TrialResult

# Rounding of grams, which depends on how often the intensity was requested.
_REL = 1e-9


class _Share(NamedTuple):
    """What a trial would have used that is open all the time.

    Attributes:
        t_ns: Monotonic time up to which it is known.
        energies: By device, in the order of the run's.
        grams: Grams of CO2e.
    """

    t_ns: int
    energies: tuple[Energy, ...] = ()
    grams: float = 0.0


class _Change(NamedTuple):
    """A trial has begun or ended.

    Attributes:
        window: A window that begins then.
        trials: Number of trials that are open from then on.
    """

    window: OpenWindow
    trials: int


class _Basis(NamedTuple):
    """What the shares up to a change were computed from."""

    begin: tuple[Energy, ...]
    end: tuple[Energy, ...]
    grams: float


class OpenTrial:
    """A trial of a `TrialLedger`.

    Attributes:
        facts: Its id, start and parameters, later its status and value.
        first: Number of the change at its begin.
        last: Number of the change at its end; None while it is open.
    """

    def __init__(self, facts: TrialResult, first: int) -> None:
        self.facts = facts
        self.first = first
        self.last: int | None = None
        # The shares that the result was computed from, and whether they are final but for late readings
        # and intensities.
        self.known: tuple[_Share, _Share] | None = None
        self.is_settled = False
        self.result = facts


class TrialLedger:
    """The trials of a run.

    Args:
        study_id: The study.
        clock: Source of time.
    """

    def __init__(self, study_id: str, clock: Clock) -> None:
        self._study_id = study_id
        self._clock = clock
        # Re-entrant: a signal handler may end a trial while another one begins.
        self._mutex = threading.RLock()
        self._trials: list[OpenTrial] = []
        self._open = 0
        self._changes: list[_Change] = []
        # At each change, up to the first one whose reading is late.
        self._shares: list[_Share] = []
        self._basis: _Basis | None = None
        self._was_revised = False

    def begin(
        self, trial_id: str, parameters: Mapping[str, str], window: Callable[[], OpenWindow]
    ) -> OpenTrial:
        """Begin a trial.

        Args:
            trial_id: Its id.
            parameters: Its hyperparameters.
            window: Opens a window of the run; must not wait.
        """
        started_at = self._clock.now().isoformat(timespec="microseconds")
        facts = TrialResult(trial_id, started_at, parameters=parameters)
        with self._mutex:
            self._note(1, window)
            trial = OpenTrial(facts, len(self._changes) - 1)
            self._trials.append(trial)
        self._note_in_files(trial)
        return trial

    def end(
        self, trial: OpenTrial, status: str, value: float | None, window: Callable[[], OpenWindow]
    ) -> None:
        """End a trial, unless it has ended."""
        with self._mutex:
            if trial.last is None:
                self._note(-1, window)
                trial.last = len(self._changes) - 1
                trial.facts = trial.facts._replace(status=status, value=value)
        self._note_in_files(trial)

    def open_trials(self, trial_id: str | None = None) -> list[OpenTrial]:
        """Return the trials that are open, or those of one id."""
        with self._mutex:
            found = [one for one in self._trials if one.last is None]
        return [one for one in found if trial_id in (None, one.facts.trial_id)]

    def completed(self, report: Report) -> Report:
        """Return a report of the run with its trials; at the end of the run, those open have failed."""
        with self._mutex:
            if not self._trials:
                return report
            is_over = report.status != RUNNING
            is_revised = self._is_revised()
            if is_over and is_revised:
                self._shares.clear()
            late = self._update_shares()
            now = self._share_at(report.window.end, late)
            for one in self._trials:
                if not one.is_settled or (is_over and is_revised):
                    self._update(one, report, now, late)
            trials = tuple([one.result for one in self._trials])
        return replace(report, trials=trials)

    def _update(
        self, trial: OpenTrial, report: Report, now: _Share, late: Mapping[int, _Share]
    ) -> None:
        """Update the result of a trial.

        Args:
            trial: The trial.
            report: The run.
            now: The share at its end.
            late: The shares that are not final.
        """
        begin = self._at(trial.first, late)
        end = now if trial.last is None else self._at(trial.last, late)
        if trial.known != (begin, end):
            trial.known = begin, end
            trial.result = _with_figures(trial.facts, report, begin, end)
        if trial.last is None and report.status != RUNNING:
            trial.facts = trial.facts._replace(status="failed")
        status, value = trial.facts.status, trial.facts.value
        trial.result = trial.result._replace(status=status, value=value)
        trial.is_settled = trial.last is not None and trial.last not in late

    def _note_in_files(self, trial: OpenTrial) -> None:
        run = self._changes[trial.first].window.run
        if run is not None:
            run.note_trial(trial.facts)

    def _note(self, step: int, window: Callable[[], OpenWindow]) -> None:
        self._open += step
        membership_of(self._study_id).set_trials(self._open, self._clock.monotonic_ns())
        self._changes.append(_Change(window(), self._open))

    def _update_shares(self) -> dict[int, _Share]:
        """Compute the shares up to the last change; return those that are not final."""
        late: dict[int, _Share] = {}
        for i in range(len(self._shares), len(self._changes)):
            window = self._between(i)
            if i == 0:
                share = _Share(window.end.t_ns)
            else:
                share = self._added(self._at(i - 1, late), window, self._changes[i - 1])
            if late or window.provisional:
                late[i] = share
            else:
                self._shares.append(share)
        self._basis = self._present_basis()
        return late

    def _is_revised(self) -> bool:
        """Return whether shares would be others now: of late first readings, or late intensities."""
        before, now = self._basis, self._present_basis()
        if before is not None and now is not None:
            is_same = before[:2] == now[:2] and math.isclose(before.grams, now.grams, rel_tol=_REL)
            self._was_revised |= not is_same
        return self._was_revised

    def _present_basis(self) -> _Basis | None:
        if not self._shares:
            return None
        first, last = self._changes[0].window, self._changes[len(self._shares) - 1].window
        window = first.up_to(last)
        grams = first.run.grams(window) if first.run is not None else 0.0
        return _Basis(window.start.energies, window.end.energies, grams)

    def _between(self, i: int) -> Window:
        """Return the window from a change to the next, number `i`; an empty one at the first."""
        return self._changes[max(0, i - 1)].window.up_to(self._changes[i].window)

    def _at(self, i: int, late: Mapping[int, _Share]) -> _Share:
        return self._shares[i] if i < len(self._shares) else late[i]

    def _share_at(self, end: Snapshot, late: Mapping[int, _Share]) -> _Share:
        """Return the share of an open trial at the end of a report."""
        i = len(self._changes) - 1
        share, last = self._at(i, late), self._between(i).end
        # A report may be of an instant before the last change.
        return self._added(share, end - last, self._changes[i]) if end.t_ns > last.t_ns else share

    @staticmethod
    def _added(share: _Share, window: Window, change: _Change) -> _Share:
        """Return a share after a window in which a number of trials were open."""
        if not change.trials:
            return share._replace(t_ns=window.end.t_ns)
        part, run = 1.0 / change.trials, change.window.run
        pairs = zip_longest(window.end.energies, window.start.energies, fillvalue=NO_ENERGY)
        grown = [_part_of(end, start, part) for end, start in pairs]
        before = (*share.energies, *[NO_ENERGY] * (len(grown) - len(share.energies)))
        energies = tuple(one.plus(more) for one, more in zip(before, grown))
        grams = run.grams(window) * part if run is not None else 0.0
        return _Share(window.end.t_ns, energies, share.grams + grams)


def _part_of(end: Energy, start: Energy, part: float) -> Energy:
    """Return a part of the energy between two instants; time without readings is not divided."""
    measured_j, extrapolated_j, missing_s, sd_j = (b - a for a, b in zip(start, end))
    return Energy(measured_j * part, extrapolated_j * part, missing_s, sd_j * part)


def _with_figures(facts: TrialResult, report: Report, begin: _Share, end: _Share) -> TrialResult:
    """Return the results of a trial.

    Args:
        facts: Its id, status and so on.
        report: The run.
        begin: The share at the begin of the trial.
        end: The share at its end.
    """
    devices = report.window.end.devices
    start = Snapshot(begin.t_ns, devices, begin.energies)
    window = Snapshot(end.t_ns, devices, end.energies) - start
    grams, all_grams = end.grams - begin.grams, sum(one.grams for one in report.intensities)
    # The intensities of the run: their uncertainty is that of the trial's, too.
    of_joules = window.joules / report.window.joules if report.window.joules > 0 else 0.0
    of_grams = grams / all_grams if all_grams > 0 else 0.0
    intensities = tuple(
        one._replace(joules=one.joules * of_joules, grams=one.grams * of_grams)
        for one in report.intensities
    )
    part = of_window(report, window, intensities)
    facts = facts._replace(duration_s=window.duration_s)
    if not part.is_known:
        return facts
    return TrialResult(*facts[:6], *part.energy_kwh, *part.emissions_kg)
