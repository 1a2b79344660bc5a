"""How a callback, and a training, are shown: as their tracker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carbon_callbacks._training.tracker import TrainingTracker


class ShownAsTracker:
    """Is shown as its tracker: a line, and in notebooks a small table of the current or latest run."""

    def _shown_tracker(self) -> TrainingTracker:
        raise NotImplementedError

    def __repr__(self) -> str:
        from carbon_core import line_of_tracker

        return line_of_tracker(self, self._shown_tracker)

    def _repr_html_(self) -> str | None:
        from carbon_core import html_of_tracker

        return html_of_tracker(self, self._shown_tracker)
