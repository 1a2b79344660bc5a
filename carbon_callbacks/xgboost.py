"""`EmissionsCallback` for XGBoost: ``xgboost.train(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

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
    from xgboost import Booster
    from xgboost.callback import CallbackContainer, EarlyStopping, TrainingCallback
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

_MODULES = ("xgboost.training", "xgboost", "xgboost.sklearn")

wrap_function(_MODULES, "train", train_in_rounds)
wrap_function(_MODULES, "cv", train_in_rounds)
wrap_method(Booster, "update", round_of)
wrap_method(Booster, "eval_set", evaluation_of)
wrap_method(EarlyStopping, "after_iteration", note_early_stopping)


def _after(after: Any, container: Any, /, *args: Any, **kwargs: Any) -> Any:
    """End a round after all callbacks: XGBoost calls them in any order, until one stops the training."""
    stops = after(container, *args, **kwargs)
    rounds = current_rounds()
    for callback in rounds.callbacks if rounds is not None else ():
        stops = callback.end_round(_scores(container.history)) or stops
    return stops


wrap_method(CallbackContainer, "after_iteration", _after)


@with_settings(Training)
class EmissionsCallback(RoundsCallback, TrainingCallback):
    """Measures `xgboost.train` and `cv`, and the estimators that have it among their ``callbacks``.

    ``history`` has the totals after each round, or after several if these are many or short; the
    model and its evaluation results stay the same. The evaluation sets are the phase ``validate``.
    A training with ``xgb_model`` continues that model's, and their energy is added.

    Args:
        log_every: Rounds between two entries of ``history``. By default there are at most about 200, a
            tenth of a second or more apart.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self, *, log_every: int | None = None, **overrides: Unpack[CallbackArguments]
    ) -> None:
        super().__init__(log_every=log_every, **overrides)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Check that the training has been noticed; the list of all callbacks ends the round."""
        self.warn_unless_measured()
        return False


def _scores(evals_log: Any) -> dict[str, float]:
    """Return the latest values, under the names that XGBoost prints: ``validation-rmse``."""
    latest = {
        f"{data}-{metric}": values[-1]
        for data, metrics in evals_log.items()
        for metric, values in metrics.items()
    }
    # A cross-validation has a mean and its deviation.
    return {name: one[0] if isinstance(one, tuple) else one for name, one in latest.items()}
