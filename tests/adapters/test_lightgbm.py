"""The callback in LightGBM: `train`, `cv` and the estimators."""
# ruff: noqa: E402 - without the library, nothing below can be imported

import pytest

lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")

import numpy as np
from adapters.rounds_contract import (
    FunctionsContract,
    RoundsContract,
    RoundsFramework,
    epochs_of,
    samples,
)

from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCHES,
    VALIDATE_BATCHES,
    WHOLE_EPOCH_KWH,
    Outcome,
    clockwork,
    nothing,
)

PARAMS = {
    "num_leaves": 4,
    "min_data_in_leaf": 1,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 7,
    "verbose": -1,
    "metric": "l2",
}


class LightGBMFramework(RoundsFramework):
    """`lightgbm.train` with small trees; the objective and the metric call `on_batch`."""

    module = "carbon_callbacks.lightgbm"
    package = "lightgbm"
    extra = "lightgbm"

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES, **more):
        def objective(predicted, data):
            for _ in range(batches):
                on_batch("train")
            return predicted - data.get_label(), np.ones_like(predicted)

        def metric(predicted, data):
            for _ in range(VALIDATE_BATCHES):
                on_batch("validate")
            return "error", float(np.square(predicted - data.get_label()).mean()), False

        def again():
            return self.small(
                rounds=epochs, objective=objective, feval=metric, callbacks=[*callbacks], **more
            )

        return Outcome({"model": self.bytes_of(again())}, again, epochs_of(callbacks))

    def in_hook(self, act):
        def in_hook(env):
            if env.iteration == 0:
                act()

        in_hook.before_iteration = True
        return in_hook

    def small(
        self, callback=None, rounds=5, earlier=None, train=None, objective="regression", **more
    ):
        listed = [callback] if callback is not None else None
        data, params = lightgbm.Dataset(*samples()), {**PARAMS, "objective": objective}
        options = {"callbacks": listed, "init_model": earlier, "valid_names": ["validation"]}
        valid = [lightgbm.Dataset(*samples(), reference=data)]
        train = train or lightgbm.train
        return train(params, data, rounds, valid_sets=valid, **{**options, **more})

    def each_round(self, act):
        return lambda env: act()

    def stopped_early(self, *callbacks):
        inputs, targets = samples()
        data = lightgbm.Dataset(inputs, targets)
        valid = [lightgbm.Dataset(inputs, -targets, reference=data)]
        params = {**PARAMS, "objective": "regression", "early_stopping_round": 3}
        return lightgbm.train(params, data, 50, valid_sets=valid, callbacks=[*callbacks])

    def cross_validate(self, callback=None):
        listed = [callback] if callback is not None else None
        data, params = lightgbm.Dataset(*samples()), {**PARAMS, "objective": "regression"}
        return lightgbm.cv(params, data, 4, nfold=2, stratified=False, callbacks=listed)

    def estimator(self, callback=None):
        return lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, min_child_samples=1, verbose=-1)

    def fit(self, estimator, callback, earlier=None):
        listed = [callback] if callback is not None else None
        return estimator.fit(*samples(), eval_set=[samples()], callbacks=listed, init_model=earlier)

    def bytes_of(self, model):
        return getattr(model, "booster_", model).model_to_string().encode()


class TestLightGBM(FunctionsContract, RoundsContract):
    framework = LightGBMFramework()
    score = "validation l2"

    def test_the_number_of_rounds_may_be_a_parameter(self):
        callback = self.framework.callback()
        data = lightgbm.Dataset(*samples())
        params = {**PARAMS, "objective": "regression", "num_iterations": 3}
        lightgbm.train(params, data, 999, callbacks=[callback])
        assert [row["round"] for row in callback.history] == [1, 2, 3]

    def test_a_budget_keeps_what_the_library_recorded_of_the_last_round(self, machine):
        callback = self.framework.callback(budget_kwh=1.1 * WHOLE_EPOCH_KWH)
        recorded = {}
        self.framework.train(
            callback,
            lightgbm.record_evaluation(recorded),
            on_batch=clockwork(machine.clock),
            epochs=6,
        )
        assert len(recorded["validation"]["l2"]) == len(callback.history) == 2

    @pytest.mark.parametrize("by", ["parameter", "callback"])
    def test_a_budget_keeps_the_best_round_of_early_stopping(self, machine, by):
        callback = self.framework.callback(budget_kwh=2.1 * WHOLE_EPOCH_KWH)
        inputs, targets = samples()
        data = lightgbm.Dataset(inputs, targets)
        valid = [lightgbm.Dataset(inputs, -targets, reference=data)]
        turn = clockwork(machine.clock)

        def tick(env):
            for what in ("train",) * TRAIN_BATCHES + ("validate",) * VALIDATE_BATCHES:
                turn(what)

        early = [lightgbm.early_stopping(10, verbose=False)] if by == "callback" else []
        params = {**PARAMS, "objective": "regression"}
        params |= {"early_stopping_round": 10} if by == "parameter" else {}
        model = lightgbm.train(
            params, data, 50, valid_sets=valid, callbacks=[callback, tick, *early]
        )
        assert [row["round"] for row in callback.history] == [1, 2, 3]
        assert model.best_iteration == 1
