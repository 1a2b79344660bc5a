"""The callback in XGBoost: `train`, `cv` and the estimators."""
# ruff: noqa: E402 - without the library, nothing below can be imported

import pytest

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")

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
    Outcome,
    nothing,
    receipts,
)
from carbon_callbacks.xgboost import EmissionsCallback

PARAMS = {"max_depth": 2, "nthread": 1, "seed": 7, "subsample": 0.5, "base_score": 0.5}


class XGBoostFramework(RoundsFramework):
    """`xgboost.train` with small trees; the objective and the metric call `on_batch`."""

    module = "carbon_callbacks.xgboost"
    package = "xgboost"
    extra = "xgboost"

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES, **more):
        def objective(predicted, data):
            for _ in range(batches):
                on_batch("train")
            return predicted - data.get_label(), np.ones_like(predicted)

        def metric(predicted, data):
            for _ in range(VALIDATE_BATCHES):
                on_batch("validate")
            return "error", float(np.square(predicted - data.get_label()).mean())

        def again():
            return xgboost.train(
                PARAMS,
                matrix(),
                epochs,
                evals=[(matrix(), "validation")],
                obj=objective,
                custom_metric=metric,
                callbacks=list(callbacks),
                verbose_eval=False,
                **more,
            )

        return Outcome({"model": bytes(again().save_raw())}, again, epochs_of(callbacks))

    def in_hook(self, act):
        class InHook(xgboost.callback.TrainingCallback):
            def before_iteration(self, model, epoch, evals_log):
                if epoch == 0:
                    act()
                return False

        return InHook()

    # --- in other ways ---------------------------------------------------------------------------

    def small(self, callback=None, rounds=5, earlier=None, train=None, **more):
        listed = [callback] if callback is not None else None
        evals = [(matrix(), "validation")]
        options = {"verbose_eval": False, "callbacks": listed, "xgb_model": earlier, "evals": evals}
        train = train or xgboost.train
        return train(PARAMS, matrix(), rounds, **{**options, **more})

    def each_round(self, act):
        class EachRound(xgboost.callback.TrainingCallback):
            def before_iteration(self, model, epoch, evals_log):
                act()
                return False

        return EachRound()

    def stopped_early(self, *callbacks):
        inputs, targets = samples()
        evals = [(xgboost.DMatrix(inputs, -targets), "validation")]
        return self.small(rounds=50, evals=evals, early_stopping_rounds=3, callbacks=[*callbacks])

    def cross_validate(self, callback=None):
        listed = [callback] if callback is not None else None
        return xgboost.cv(PARAMS, matrix(), 4, nfold=2, callbacks=listed, as_pandas=False)

    def estimator(self, callback=None):
        listed = [callback] if callback is not None else None
        return xgboost.XGBRegressor(n_estimators=3, max_depth=2, n_jobs=1, callbacks=listed)

    def fit(self, estimator, callback, earlier=None):
        options = {"eval_set": [samples()], "verbose": False, "xgb_model": earlier}
        return estimator.fit(*samples(), **options)

    def bytes_of(self, model):
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        return bytes(booster.save_raw())


def matrix():
    return xgboost.DMatrix(*samples())


class TestXGBoost(FunctionsContract, RoundsContract):
    framework = XGBoostFramework()
    score = "validation-rmse"

    def test_a_file_of_a_model_continues_the_latest_training_that_did_not_complete(self, tmp_path):
        class Boom(xgboost.callback.TrainingCallback):
            def after_iteration(self, model, epoch, evals_log):
                model.save_model(tmp_path / "model.json")
                raise RuntimeError("boom")

        with pytest.raises(RuntimeError):
            self.framework.small(callbacks=[EmissionsCallback(), Boom()])
        resumed = EmissionsCallback()
        self.framework.small(resumed, earlier=str(tmp_path / "model.json"))
        assert [one["status"] for one in receipts()] == ["failed", "completed"]
        assert len(resumed.report.segments) == 2

    def test_the_processes_of_a_search_are_within_the_block_that_measures_it(self):
        model_selection = pytest.importorskip("sklearn.model_selection")
        from carbon_callbacks.sklearn import measure_fit

        estimator = self.framework.estimator(EmissionsCallback())
        grid = {"max_depth": [1, 2]}
        search = model_selection.GridSearchCV(estimator, grid, cv=2, n_jobs=2, refit=False)
        with measure_fit(search) as fit:
            search.fit(*samples())
        within = [one["run"]["within"] for one in receipts()]
        assert sorted(within) == [[], *[[fit.report.run.run_id]] * 4]
