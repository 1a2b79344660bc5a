"""`measure_fit` for scikit-learn: ``with measure_fit(model): model.fit(x, y)``."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from sklearn.base import BaseEstimator
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["measure_fit"]

_FITS = ("fit", "partial_fit", "fit_transform", "fit_predict")
_METHODS = (*_FITS, "transform", "predict", "predict_proba", "score")


class _Blocks(threading.local):
    """The blocks that this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.open: list[measure_fit] = []


_blocks = _Blocks()


def _in_phase(method: Any, estimator: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of an estimator in a phase of its name."""
    block = _blocks.open[-1] if _blocks.open else None
    # A method that another one of the same estimator calls is part of that.
    if block is None or block.is_within(estimator):
        return method(estimator, *args, **kwargs)
    block.enter(estimator, method.__name__)
    try:
        return method(estimator, *args, **kwargs)
    finally:
        block.leave()


@with_settings(Training)
class measure_fit(CallbackBase):  # noqa: N801 - as `contextlib.suppress`: it is used in `with`
    """Measures a block in which estimators are fitted.

    Each of their methods is a phase, such as ``RandomForestClassifier.fit``: of the estimators that are
    given and of those within them, such as the steps of a pipeline. A search over parameters
    (`GridSearchCV`) is measured as a whole: its processes and threads (``n_jobs``) are in its phase.

    An object measures one block after the other; each is a run of its own.

    Args:
        *estimators: The estimators.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, *estimators: Any, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)
        self._calls: list[tuple[int, str]] = []
        for estimator in _with_inner(estimators):
            for name in _METHODS:
                wrap_method(type(estimator), name, _in_phase)

    def is_within(self, estimator: Any) -> bool:
        """Return whether the innermost phase is that of an estimator."""
        return bool(self._calls) and self._calls[-1][0] == id(estimator)

    def enter(self, estimator: Any, method: str) -> None:
        """Begin the phase of a method."""
        self._calls.append((id(estimator), f"{type(estimator).__name__}.{method}"))
        self._training.phase(self._calls[-1][1])

    def leave(self) -> None:
        """End it: the one around it continues."""
        del self._calls[-1:]  # none is left where the block was entered again within a method
        self._training.phase(self._calls[-1][1] if self._calls else "setup")

    def __enter__(self) -> Self:
        self._calls = []
        self._training.begin()
        _blocks.open.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self in _blocks.open:
            _blocks.open.remove(self)
        super().__exit__(kind, error, traceback)


def _with_inner(estimators: Iterable[Any]) -> list[Any]:
    """Return some estimators, and those among their parameters, as in a pipeline."""
    found: dict[int, Any] = {}
    for estimator in estimators:
        inner = estimator.get_params() if hasattr(estimator, "get_params") else {}
        for one in (estimator, *inner.values()):
            if isinstance(one, BaseEstimator) or one is estimator:
                found[id(one)] = one
    return [*found.values()]
