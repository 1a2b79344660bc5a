"""Finds earlier runs of a directory: receipts of completed runs, journals of killed ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.outputs import past_runs, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.journal_locks import SUFFIX as JOURNAL_SUFFIX
from carbon_core.records import Segment

# Limits the time that the search for the last run takes in a directory of a thousand runs.
_MAX_READ = 50


class Archive:
    """The runs of an output directory.

    Args:
        directory: The output directory; may be absent.
        project_name: The setting; `last` skips the runs of other projects.
    """

    def __init__(self, directory: Path, project_name: str) -> None:
        self._runs = directory / RUNS_DIRECTORY
        self._project_name = project_name

    def segment(self, run_id: str) -> Segment | None:
        """Return the last saved state of a run; None if there is none.

        Args:
            run_id: The run; an id that `carbon_core.limits.is_safe_id` allows.
        """
        for suffix in (receipt.SUFFIX, JOURNAL_SUFFIX):
            with contextlib.suppress(OutputError):
                return past_runs.read(self._runs / f"{run_id}{suffix}").segment
        return None

    def last(self, trial: str | None = None) -> tuple[Segment, ...]:
        """Return the segments of the training that a new run continues, oldest first.

        Args:
            trial: The trial of a search, whose latest training is returned; without one, the latest
                training outside of any search, unless it was completed: a new run of the project is
                a new training then.
        """
        paths = sorted(self._runs.glob(f"*{receipt.SUFFIX}"), key=_time_of, reverse=True)
        for path in paths[:_MAX_READ]:
            with contextlib.suppress(OutputError):
                found = past_runs.read(path)
                trained = any(phase.name == "train" for phase in found.phases)
                run = found.run
                if trained and (run.project_name, run.trial) == (self._project_name, trial):
                    if trial is None and found.status == "completed":
                        break
                    return *found.earlier_starts, found.segment
        return ()


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
