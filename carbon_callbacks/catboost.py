"""`EmissionsCallback` for CatBoost: ``model.fit(x, y, callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.rounds import RoundsCallback, current_rounds, train_in_rounds
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

# The number of rounds has several names, and a default.
_ITERATIONS = ("iterations", "num_boost_round", "n_estimators", "num_trees")
_DEFAULT_ITERATIONS = 1000


def _train(train: Any, model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Begin the first round once the data is prepared."""
    rounds = current_rounds()
    if rounds is not None:
        params = model.get_params()
        given = (params[name] for name in _ITERATIONS if params.get(name))
        rounds.total = next(given, _DEFAULT_ITERATIONS)
        rounds.begin_round()
    return train(model, *args, **kwargs)


_MODELS: tuple[Any, ...] = (CatBoost, CatBoostClassifier, CatBoostRegressor, CatBoostRanker)
for _class in _MODELS:
    wrap_method(_class, "fit", train_in_rounds)
    wrap_method(_class, "_train", _train)


@with_settings(Training)
class EmissionsCallback(RoundsCallback):
    """Measures `fit` of the models that have it among their ``callbacks``.

    ``history`` has the totals after each round, or after several if these are many or short; the
    model stays the same. CatBoost evaluates within a round, so that there is no phase ``validate``.
    A training with ``init_model`` continues that model's, and their energy is added.

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

    def after_iteration(self, info: Any) -> bool:
        """End a round and begin the next one; CatBoost stops where this returns False."""
        scores = {
            f"{data}-{metric}": values[-1]
            for data, metrics in info.metrics.items()
            for metric, values in metrics.items()
        }
        stops = self.end_round(scores)
        rounds = current_rounds()
        if rounds is not None and not stops and not self.is_last_round:
            rounds.begin_round()
        return not stops
