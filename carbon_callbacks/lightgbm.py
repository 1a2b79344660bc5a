"""`EmissionsCallback` for LightGBM: ``lightgbm.train(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.calls import wrap_function, wrap_method
from carbon_callbacks._training.rounds import (
    RoundsCallback,
    current_rounds,
    evaluation_of,
    note_early_stopping,
    round_of,
    train_in_rounds,
)
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from lightgbm import Booster
    from lightgbm.callback import EarlyStopException, early_stopping
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

_MODULES = ("lightgbm.engine", "lightgbm", "lightgbm.sklearn")

wrap_function(_MODULES, "train", train_in_rounds)
wrap_function(_MODULES, "cv", train_in_rounds)
wrap_method(Booster, "update", round_of)
wrap_method(Booster, "eval_train", evaluation_of)
wrap_method(Booster, "eval_valid", evaluation_of)
wrap_method(type(early_stopping(1, verbose=False)), "__call__", note_early_stopping)


@with_settings(Training)
class EmissionsCallback(RoundsCallback):
    """Measures `lightgbm.train` and `cv`, and the estimators' `fit` that has it in its ``callbacks``.

    ``history`` has the totals after each round, or after several if these are many or short; the
    model and its evaluation results stay the same. The evaluation sets are the phase ``validate``.
    A training with ``init_model`` continues that model's, and their energy is added.

    Args:
        log_every: Rounds between two entries of ``history``. By default there are at most about 200, a
            tenth of a second or more apart.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    before_iteration = False

    def __init__(
        self, *, log_every: int | None = None, **overrides: Unpack[CallbackArguments]
    ) -> None:
        super().__init__(log_every=log_every, **overrides)
        # LightGBM calls callbacks in this order: after those that print and record, which would miss the
        # last round of a training that is stopped, and before early stopping.
        self.order = 25
        self._iteration = 0

    def __call__(self, env: Any) -> None:
        """End a round; LightGBM stops where this raises its exception."""
        self._iteration = env.iteration
        results = env.evaluation_result_list or []
        scores = {f"{data} {metric}": value for data, metric, value, *_ in results}
        if self.end_round(scores, env.end_iteration - env.begin_iteration):
            rounds = current_rounds()
            for one in rounds.early_stopping if rounds is not None else ():
                # In the last round, it stops with the best one.
                one(replace(env, end_iteration=env.iteration + 1))
            raise EarlyStopException(env.iteration, results)

    def patience_used(self, early_stopping: Sequence[Any]) -> float | None:
        """Return how near early stopping is (0 to 1); None without it."""
        parts = (
            (self._iteration - best) / one.stopping_rounds
            for one in early_stopping
            for best in one.best_iter
            if one.enabled
        )
        return max((min(1.0, part) for part in parts), default=None)
