"""Finds earlier runs of a directory: receipts of completed runs, journals of killed ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.input_files import text_of
from carbon_core.outputs import receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
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
            run_id: The run; an id that `carbon_core.segments.is_safe_id` allows.
        """
        with contextlib.suppress(OutputError):
            return receipt.segment(self._runs / f"{run_id}{receipt.SUFFIX}")
        from carbon_core.outputs import journal  # slow to import; most runs do not need it

        with contextlib.suppress(OutputError, OSError):
            return journal.read(self._runs / f"{run_id}{journal.SUFFIX}").segment
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
            with contextlib.suppress(OutputError, OSError, ValueError, KeyError, TypeError):
                data = json.loads(text_of(path))
                run, phases = data["run"], data["phases"]
                trained = any(phase["name"] == "train" for phase in phases)
                matches = run["project_name"] == self._project_name and run.get("trial") == trial
                if trained and matches:
                    if trial is None and data["status"] == "completed":
                        break
                    earlier = [Segment(**one) for one in data.get("earlier_starts", ())]
                    return *earlier, receipt.segment(path)
        return ()


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
