"""The runs that a directory tells of: receipts of those that ended, journals of those killed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.outputs import receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.records import Segment

# A directory of a thousand runs must not hold up the one that looks for the last of them.
_LOOKED_AT = 50


class Archive:
    """The runs of a directory.

    Args:
        directory: The output directory; may be absent.
        project_name: The setting; `last` passes over the runs of other projects.
    """

    def __init__(self, directory: Path, project_name: str) -> None:
        self._runs = directory / RUNS_DIRECTORY
        self._project_name = project_name

    def segment(self, run_id: str) -> Segment | None:
        """Return the last known state of a run; None if nothing is kept of it.

        Args:
            run_id: The run; an id that `carbon_core.segments.is_safe_id` allows.
        """
        with contextlib.suppress(OutputError):
            return receipt.segment(self._runs / f"{run_id}{receipt.SUFFIX}")
        from carbon_core.outputs import journal  # with what it imports, not needed by most runs

        with contextlib.suppress(OutputError, OSError):
            return journal.read(self._runs / f"{run_id}{journal.SUFFIX}").segment
        return None

    def last(self, trial: str | None = None) -> tuple[Segment, ...]:
        """Return the training that a new run continues, after all that it continued itself.

        Args:
            trial: The trial of a search, whose latest training it is; without one, the latest training
                outside of any search, if that did not end by itself: a later one of the same project
                has its own right.
        """
        paths = sorted(self._runs.glob(f"*{receipt.SUFFIX}"), key=_time_of, reverse=True)
        for path in paths[:_LOOKED_AT]:
            with contextlib.suppress(OutputError, OSError, ValueError, KeyError, TypeError):
                data = json.loads(path.read_text("utf-8"))
                run, phases = data["run"], data["phases"]
                trained = any(phase["name"] == "train" for phase in phases)
                mine = run["project_name"] == self._project_name and run.get("trial") == trial
                if trained and mine:
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
