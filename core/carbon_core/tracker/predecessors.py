"""Earlier segments of a training that a run continues: from a checkpoint, or from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from carbon_core.outputs.archive import Archive
from carbon_core.records import Segment
from carbon_core.segments import merged


class Predecessors:
    """The segments before this run; each counts once, in its longest state.

    Attributes:
        requested: Whether the files are searched; closing the run waits for the result.

    Args:
        archive: Earlier runs of the output directory; None where no files are kept.
        submit: Runs a job on the files' worker.
    """

    def __init__(
        self, archive: Archive | None, submit: Callable[[Callable[[], None]], None]
    ) -> None:
        self.requested = False
        self._archive = archive
        self._submit = submit
        # Assigned by the user's thread and by the files' worker, each its own.
        self._given: tuple[Segment, ...] = ()
        self._found: tuple[Segment, ...] = ()

    def add(self, segments: Sequence[Segment]) -> None:
        """Add segments of a checkpoint; what was measured after it is searched for in the files."""
        self.requested = True
        self._given = merged((*self._given, *segments))
        self._submit(self.find_rest)

    def add_last(self, trial: str | None) -> None:
        """Add the latest training of the directory: of a trial, or of none."""
        self.requested = True
        self._submit(lambda: self._find_last(trial))

    def segments(self, *, without: Iterable[str]) -> tuple[Segment, ...]:
        """Return what is known, except for the runs of some ids."""
        if not self._given and not self._found:
            return ()
        return merged((*self._given, *self._found), without=without)

    def find_rest(self) -> None:
        """Search the files for what the given segments measured after their checkpoint."""
        if self._archive is not None:
            found = [self._archive.segment(one.run_id) for one in self._given]
            self._found = merged((*self._found, *(one for one in found if one is not None)))

    def _find_last(self, trial: str | None) -> None:
        if self._archive is not None:
            self._found = merged((*self._found, *self._archive.last(trial)))
