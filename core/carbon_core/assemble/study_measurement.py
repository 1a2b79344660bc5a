"""The measurement that the objects of one study share in a process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_core.assemble.trackers import EmissionsTracker
from carbon_core.record import replace
from carbon_core.trials import StudyFacts

if TYPE_CHECKING:
    from typing_extensions import Self

    from carbon_core.assemble.studies import Study
    from carbon_core.outputs.history import PastRun
    from carbon_core.report import Report
    from carbon_core.tracker.parts import Parts
    from carbon_core.tracker.trial_ledger import OpenTrial, TrialLedger


class StudyTracker(EmissionsTracker):
    """The tracker of a study in this process.

    Attributes:
        study: The study.
        ledger: The trials of the latest run.
    """

    study = StudyFacts("")
    ledger: TrialLedger | None = None

    @classmethod
    def like(cls, other: EmissionsTracker) -> Self:
        """Return a tracker with the settings of another one, whose warnings are not repeated."""
        made = cls.__new__(cls)
        made.__setstate__(other.__getstate__())
        return made

    def make_parts(self, run_id: str) -> Parts:
        """Return the parts of a run, whose receipt has the trials."""
        from carbon_core.tracker.trial_ledger import TrialLedger

        parts = super().make_parts(run_id)
        ledger = self.ledger = TrialLedger(self.study.study_id, parts.clock)
        known = parts.facts.study
        study = replace(self.study, divides=known is None or known.divides)
        facts = replace(parts.facts, study=study)
        return replace(parts, facts=facts, completed=ledger.completed)


class StudyMeasurement:
    """What the objects of one study share in this process.

    Attributes:
        pid: The process.
        directory: Output directory of the object that it was made for.
        tracker: Measures the machine.
        users: Objects of the study that have not ended it since their last trial.
        reports: Reports of the runs that have ended here, by id.
    """

    def __init__(self, tracker: StudyTracker, directory: Path) -> None:
        self.pid = os.getpid()
        self.directory = directory
        self.tracker = tracker
        self.users: weakref.WeakSet[Study] = weakref.WeakSet()
        self.reports: dict[str, Report] = {}
        self._mutex = threading.RLock()

    @property
    def is_idle(self) -> bool:
        """Whether no object has a run."""
        return not self.users and not self.tracker.running

    def begin(
        self, trial_id: str, parameters: Mapping[str, str]
    ) -> tuple[TrialLedger, OpenTrial] | tuple[None, None]:
        """Begin a trial, and the run with the first one."""
        with self._mutex:
            self.tracker.start()
            ledger = self.tracker.ledger
        if ledger is None:
            return None, None
        for earlier in ledger.open_trials(trial_id):
            self.end(ledger, earlier, "failed", None)
        return ledger, ledger.begin(trial_id, parameters, self._window)

    def end(self, ledger: TrialLedger, trial: OpenTrial, status: str, value: float | None) -> None:
        """End a trial."""
        ledger.end(trial, status, value, self._window)

    def close(self) -> None:
        """End the run; trials that are open have failed."""
        with self._mutex:
            ledger = self.tracker.ledger
            if ledger is not None and self.tracker.running:
                for trial in ledger.open_trials():
                    self.end(ledger, trial, "failed", None)
            self.tracker.stop()
            self.tracker.close_prepared()
            final = self.tracker.final_report
            if final is not None:
                self.reports[final.run.run_id] = final

    def report(self, max_age_s: float = 0.0) -> Report | None:
        """Return the report of the present run, or of the last one."""
        return self.tracker.report(max_age_s=max_age_s)

    def runs(self) -> dict[str, PastRun]:
        """Return the runs of this process, by id."""
        from carbon_core.outputs.history import run_of
        from carbon_core.outputs.receipt_reading import of_report

        reports = dict(self.reports)
        if (report := self.report()) is not None:
            reports[report.run.run_id] = report
        return {run_id: run_of(of_report(one), None) for run_id, one in reports.items()}

    def _window(self) -> Any:
        return self.tracker.window(at_once=True)


# Those of this process, by study, for as long as an object of the study exists.
MEASUREMENTS: weakref.WeakValueDictionary[str, StudyMeasurement] = weakref.WeakValueDictionary()
