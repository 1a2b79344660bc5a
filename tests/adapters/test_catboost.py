"""The callback in CatBoost: `fit` of its models."""
# ruff: noqa: E402 - without the library, nothing below can be imported

import pytest

catboost = pytest.importorskip("catboost", reason="catboost is not installed")

from adapters.rounds_contract import RoundsContract, RoundsFramework, epochs_of, samples

from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCHES,
    VALIDATE_BATCHES,
    Outcome,
    nothing,
    rows,
)

OPTIONS = {
    "depth": 2,
    "thread_count": 1,
    "random_seed": 7,
    "verbose": False,
    "allow_writing_files": False,
}


class Batches:
    """Is called after a round, by the code that trains, and calls `on_batch` for its batches."""

    def __init__(self, batches, on_batch):
        self.batches, self.on_batch = batches, on_batch

    def after_iteration(self, info):
        for _ in range(self.batches):
            self.on_batch("train")
        for _ in range(VALIDATE_BATCHES):
            self.on_batch("validate")
        return True


class CatBoostFramework(RoundsFramework):
    """`fit` of a regressor with small trees."""

    module = "carbon_callbacks.catboost"
    package = "catboost"
    extra = "catboost"
    has_validation = False

    def arrives(self, where, error):
        # It raises its own exception, with the text of the other one.
        return catboost.CatBoostError

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        listed = [Batches(batches, on_batch), *callbacks]

        def again():
            return self.small(rounds=epochs, callbacks=listed)

        return Outcome({"model": self.bytes_of(again())}, again, epochs_of(callbacks))

    def in_hook(self, act):
        class InHook:
            acted = False

            def after_iteration(self, info):
                if not self.acted:
                    self.acted = True
                    act()
                return True

        return InHook()

    def small(self, callback=None, rounds=5, earlier=None, **more):
        listed = [callback] if callback is not None else None
        options = {"callbacks": listed, "init_model": earlier, "eval_set": samples()}
        model = catboost.CatBoostRegressor(iterations=rounds, **OPTIONS)
        return model.fit(*samples(), **{**options, **more})

    def stopped_early(self, *callbacks):
        inputs, targets = samples()
        model = catboost.CatBoostRegressor(iterations=50, **OPTIONS)
        evaluated = (inputs, -targets)
        return model.fit(
            inputs, targets, eval_set=evaluated, early_stopping_rounds=3, callbacks=[*callbacks]
        )

    def estimator(self, callback=None):
        return catboost.CatBoostRegressor(n_estimators=3, **OPTIONS)

    def fit(self, estimator, callback, earlier=None):
        listed = [callback] if callback is not None else None
        options = {"eval_set": samples(), "callbacks": listed, "init_model": earlier}
        return estimator.fit(*samples(), **options)

    def bytes_of(self, model):
        # A saved model has the time of its training, and an id.
        leaves, predicted = model.get_leaf_values(), model.predict(samples()[0])
        return leaves.tobytes() + predicted.tobytes() + repr(model.get_borders()).encode()


class TestCatBoost(RoundsContract):
    framework = CatBoostFramework()
    score = "validation-RMSE"

    @pytest.mark.parametrize(
        ("model", "more"),
        [
            (catboost.CatBoost({"iterations": 3, **OPTIONS}), {}),
            (catboost.CatBoostClassifier(num_trees=3, **OPTIONS), {}),
            (catboost.CatBoostRanker(num_boost_round=3, **OPTIONS), {"group_id": [0] * 64}),
        ],
        ids=lambda one: type(one).__name__,
    )
    def test_each_kind_of_model_is_measured(self, model, more):
        callback = self.framework.callback()
        inputs, targets = samples()
        model.fit(inputs, (targets > 0).astype(int), callbacks=[callback], **more)
        assert [row["round"] for row in callback.history] == [1, 2, 3]
        assert len(rows()) == 1

    def test_a_model_is_measured_within_a_block_of_scikit_learn(self):
        measure_fit = pytest.importorskip("carbon_callbacks.sklearn").measure_fit
        callback = self.framework.callback()
        model = self.framework.estimator()
        with measure_fit(model) as fit:
            self.framework.fit(model, callback)
        assert "CatBoostRegressor.fit" in {one.name for one in fit.report.phases}
        assert callback.report.run.within == (fit.report.run.run_id,)
