"""Receipts have the steps, samples and tokens of a training, which later estimates need."""

from __future__ import annotations

import pytest

from carbon_callbacks.testing import receipts
from carbon_callbacks.training import Progress, Training


def work() -> dict:
    """Return the work of the only receipt."""
    (receipt,) = receipts()
    return receipt["work"]


def test_a_custom_loop_counts_its_steps_and_what_it_reports(machine):
    training = Training()
    with training.measure():
        training.epoch_begin(0.0)
        for step in range(1, 5001):
            training.note_step(step, step / 5000)
        training.metrics(Progress(1.0, 640.0, 9000.0))
    assert work() == {"steps": 5000, "samples": 640.0, "tokens": 9000.0}


def test_outputs_have_the_work_during_the_run(machine):
    """Metrics for dashboards are of a running training; the metrics it logged are read at its end."""
    training = Training()
    with training.measure():
        training.improve({"loss": 1.0})
        training.metrics(Progress(0.5, 320.0))
        running = training.tracker.report()
        assert running.work.samples == 320.0
        assert running.logged_metrics == {}
    assert work()["samples"] == 320.0


def test_what_is_not_counted_is_null(machine):
    with Training().measure():
        machine.clock.advance(1.0)
    assert work() == {"steps": None, "samples": None, "tokens": None}


def test_each_run_counts_its_own_and_an_evaluation_none(machine):
    training = Training()
    for steps in (7, 5):
        with training.measure():
            training.epoch_begin(0.0)
            for step in range(1, steps + 1):
                training.note_step(step, None)
    with training.evaluation("test"):
        machine.clock.advance(1.0)
    assert [one["work"]["steps"] for one in receipts()] == [7, 5, None]


@pytest.mark.slow
def test_lightning_counts_batches_and_samples():
    from adapters.test_estimate import Lightning

    adapter = pytest.importorskip("carbon_callbacks.lightning")
    one = Lightning("lightning.pytorch")
    one.trainer(adapter.EmissionsCallback()).fit(one.model(), *one.loaders())
    assert work() == {"steps": 120, "samples": 480.0, "tokens": None}


@pytest.mark.slow
def test_transformers_counts_optimizer_steps_and_samples():
    from adapters.test_estimate import hf_trainer

    adapter = pytest.importorskip("carbon_callbacks.transformers")
    trainer = hf_trainer(adapter.EmissionsCallback(), gradient_accumulation_steps=2)
    trainer.train()
    assert work() == {"steps": 60, "samples": 480.0, "tokens": None}


@pytest.mark.slow
def test_keras_counts_batches_and_the_samples_that_it_is_given():
    keras = pytest.importorskip("keras")
    from adapters.test_estimate import keras_data, keras_model

    from carbon_callbacks.keras import EmissionsCallback

    callback = EmissionsCallback(samples_per_epoch=160)
    keras_model(keras).fit(*keras_data(), epochs=3, batch_size=4, verbose=0, callbacks=[callback])
    assert work() == {"steps": 120, "samples": 480.0, "tokens": None}
