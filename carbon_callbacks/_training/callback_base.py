"""The base class of every callback."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from carbon_callbacks._training.shown import ShownAsTracker
from carbon_callbacks._training.training import Training
from carbon_core import status_of

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_callbacks._training.tracker import TrainingTracker
    from carbon_core import Report


class CallbackBase(ShownAsTracker):
    """A callback that measures trainings: takes settings, has a report, and ends with a ``with`` block.

    A subclass calls ``self._training`` (`carbon_callbacks.training.Training`) from its hooks. Copies of
    it, as by pickle, measure nothing of its current training.

    Args:
        **arguments: As for `carbon_callbacks.training.Training`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **arguments: Unpack[CallbackArguments]) -> None:
        super().__init__()
        self._training = Training(**arguments)

    @property
    def report(self) -> Report | None:
        """The totals of the latest finished run."""
        return self._training.report

    def _shown_tracker(self) -> TrainingTracker:
        return self._training.tracker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._training.end(status_of(error))
