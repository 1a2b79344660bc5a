"""What every callback is made with, and what it gives its user."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.training import Training
from carbon_core import Report, status_of

if TYPE_CHECKING:
    from typing_extensions import Self


class Watching:
    """Settings in, a report out, an exact end on request.

    Where a framework does not tell its callbacks about an exception, the run is closed by the next
    training or at exit; in a ``with callback:`` block, at once.

    Args:
        **arguments: As for `carbon_callbacks._training.training.Training`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self._training = Training(**arguments)

    @property
    def report(self) -> Report | None:
        """The totals of the run that ended last."""
        return self._training.report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._training.end(status_of(error))
