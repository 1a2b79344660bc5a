"""`measure_fit` with scikit-learn: estimators, pipelines and searches."""

import contextlib
import pickle

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import numpy as np
from adapters.rounds_contract import samples
from adapters.shipped_contract import ShippedContract, ShippedFramework
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from carbon_callbacks.sklearn import measure_fit
from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCHES,
    VALIDATE_BATCHES,
    WATTS,
    Boom,
    Outcome,
    nothing,
    receipts,
    rows,
)


class Model(SGDRegressor):
    """A regression that calls `on_batch` with what it does."""

    on_batch = staticmethod(nothing)
    batches = TRAIN_BATCHES
    hooks = ()

    def partial_fit(self, x, y):
        for batch in range(self.batches):
            while self.hooks and batch == 1:
                self.hooks.pop()()
            self.on_batch("load")
            self.on_batch("train")
            super().partial_fit(x, y)
        return self

    def score(self, x, y):
        for _ in range(VALIDATE_BATCHES):
            self.on_batch("validate")
        return super().score(x, y)


class SklearnFramework(ShippedFramework):
    """A loop of `partial_fit` and `score` within a block."""

    module = "carbon_callbacks.sklearn"
    package = "sklearn"
    extra = "sklearn"
    stops = False
    logs_epochs = False
    is_block = True
    train_phase = "Model.partial_fit"
    validate_phase = "Model.score"

    def callback(self, **settings):
        return measure_fit(Model(), **settings)

    def out_of_memory(self):
        return MemoryError("out of memory")

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        blocks = [one for one in callbacks if isinstance(one, measure_fit)]
        hooks = [one for one in callbacks if one not in blocks]
        own = {"on_batch": staticmethod(on_batch), "batches": batches, "hooks": hooks}

        def again():
            model = type("Model", (Model,), own)(random_state=7)
            with contextlib.ExitStack() as stack:
                for block in blocks:
                    stack.enter_context(block)
                for _ in range(epochs):
                    model.partial_fit(*samples())
                    model.score(*samples())
            return model

        model = again()
        weights = {"coef": model.coef_.tobytes(), "intercept": model.intercept_.tobytes()}
        return Outcome(weights, again)

    def train_again(self, outcome):
        outcome.trainer()

    def in_hook(self, act):
        return act


class Ticking(BaseEstimator):
    """An estimator whose `fit` takes ten seconds of a machine's clock."""

    clock = None

    def __init__(self, level=0.0, fails=False):
        self.level, self.fails = level, fails

    def fit(self, x, y):
        type(self).clock.advance(10.0)
        if self.fails:
            raise Boom("fit")
        self.fitted_ = True
        return self

    def predict(self, x):
        type(self).clock.advance(1.0)
        return np.full(len(x), self.level)

    def score(self, x, y):
        return -float(np.square(self.predict(x) - y).mean())


@pytest.fixture
def ticking(machine, monkeypatch):
    monkeypatch.setattr(Ticking, "clock", machine.clock)
    return Ticking


def phases_of(report):
    """Return the seconds of a report's phases at 100 W, but for those without any."""
    return {
        one.name: pytest.approx(one.joules / WATTS) for one in report.phases if one.joules > 1e-9
    }


class TestMeasureFit(ShippedContract):
    framework = SklearnFramework()

    def test_the_phases_name_the_estimator_and_its_methods(self, machine, ticking):
        with measure_fit(ticking()) as fit:
            machine.clock.advance(2.0)
            model = ticking().fit(*samples())
            model.predict(samples()[0])
            machine.clock.advance(3.0)
        assert phases_of(fit.report) == {"setup": 5.0, "Ticking.fit": 10.0, "Ticking.predict": 1.0}

    def test_the_steps_of_a_pipeline_are_phases(self, ticking):
        pipeline = make_pipeline(StandardScaler(), ticking())
        with measure_fit(pipeline) as fit:
            pipeline.fit(*samples())
        names = {one.name for one in fit.report.phases}
        assert names == {"setup", "Pipeline.fit", "StandardScaler.fit_transform", "Ticking.fit"}
        assert phases_of(fit.report) == {"Ticking.fit": 10.0}

    def test_a_search_adds_up_by_the_names_of_its_estimators(self, ticking):
        search = GridSearchCV(ticking(), {"level": [0.0, 1.0]}, cv=2)
        with measure_fit(search) as fit:
            search.fit(*samples())
        assert phases_of(fit.report) == {"Ticking.fit": 50.0, "Ticking.score": 4.0}
        assert len(rows()) == 1

    def test_a_search_in_two_processes_is_measured_once(self):
        search = GridSearchCV(LinearRegression(), {"fit_intercept": [True, False]}, cv=2, n_jobs=2)
        with measure_fit(search) as fit:
            search.fit(*samples())
        assert {"GridSearchCV.fit"} <= {one.name for one in fit.report.phases}
        assert [one["status"] for one in receipts()] == ["completed"]

    @pytest.mark.parametrize("prefer", ["processes", "threads"])
    def test_a_fit_on_another_thread_is_within_the_phase_of_the_search(self, prefer):
        from joblib import parallel_config

        backend = "loky" if prefer == "processes" else "threading"
        with parallel_config(backend), measure_fit(LinearRegression()) as fit:
            cross_val_score(LinearRegression(), *samples(), cv=2, n_jobs=2)
        assert "LinearRegression.fit" not in {one.name for one in fit.report.phases}
        assert len(rows()) == 1

    def test_a_fit_whose_error_is_caught_ends_its_phase(self, machine, ticking):
        with measure_fit(ticking()) as fit:
            with contextlib.suppress(Boom):
                ticking(fails=True).fit(*samples())
            machine.clock.advance(2.0)
        assert fit.report.status == "completed"
        assert phases_of(fit.report) == {"setup": 2.0, "Ticking.fit": 10.0}

    def test_a_method_of_another_estimator_is_part_of_what_is_around_it(self, ticking):
        class Other(BaseEstimator):
            def fit(self, x, y):
                ticking.clock.advance(4.0)
                return self

        with measure_fit(ticking()) as fit:
            Other().fit(*samples())
        assert phases_of(fit.report) == {"setup": 4.0}

    def test_blocks_within_blocks_are_runs_of_their_own(self, ticking):
        with measure_fit(ticking(), name="outer") as outer:
            ticking().fit(*samples())
            with measure_fit(ticking(), name="inner") as inner:
                ticking().fit(*samples())
            ticking().fit(*samples())
        assert phases_of(inner.report) == {"Ticking.fit": 10.0}
        assert phases_of(outer.report) == {"Ticking.fit": 20.0, "setup": 10.0}

    def test_outside_of_a_block_nothing_is_measured_and_estimators_stay_what_they_are(self):
        model = LinearRegression()
        with measure_fit(model):
            model.fit(*samples())
        pickle.loads(pickle.dumps(clone(model).fit(*samples())))
        assert len(rows()) == 1
        assert vars(clone(model)) == vars(LinearRegression())

    def test_a_block_without_an_estimator_is_measured(self):
        with measure_fit() as fit:
            LinearRegression().fit(*samples())
        assert fit.report.status == "completed"
