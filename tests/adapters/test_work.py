"""Receipts have the amount of work of a training, which estimates and disclosures need."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from carbon_callbacks.testing import receipts
from carbon_callbacks.training import Progress, Training
from carbon_core.outputs import past_runs


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
        training.metrics(Progress(1.0, 640.0, 9000.0, flops=5e9))
    assert work() == {"steps": 5000, "samples": 640.0, "tokens": 9000.0, "flops": 5e9}


def test_the_samples_of_the_data_set_are_beside_the_work(machine):
    """Adding them up over runs would be wrong, so that they are not part of it."""
    training = Training()
    for samples in (320, -1.0, math.nan, None):
        with training.measure():
            training.metrics(Progress(0.5, 640.0, dataset_samples=samples))
            running = training.tracker.report()
            training.metrics()  # without any progress: what was reported before holds
        known = 320.0 if samples == 320 else None
        assert running.dataset_samples == known
        assert training.report.dataset_samples == known
    assert [one["dataset_samples"] for one in receipts()] == [320.0, None, None, None]


@pytest.mark.parametrize("amount", [math.nan, math.inf, -1.0, 1e300, 10**20])
def test_an_impossible_amount_is_unknown_and_the_receipt_can_be_read(machine, amount):
    training = Training()
    with training.measure():
        training.metrics(Progress(1.0, amount, 9000.0, flops=amount * 1e21))
    assert work() == {"steps": None, "samples": None, "tokens": 9000.0, "flops": None}
    (path,) = Path("carbon_runs").glob("*.receipt.json")
    assert past_runs.read(path).work.tokens == 9000.0


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
    assert work() == {"steps": None, "samples": None, "tokens": None, "flops": None}


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
    assert work() == {"steps": 120, "samples": 480.0, "tokens": None, "flops": None}


@pytest.mark.slow
def test_transformers_counts_optimizer_steps_and_samples():
    from adapters.test_estimate import hf_trainer

    adapter = pytest.importorskip("carbon_callbacks.transformers")
    trainer = hf_trainer(adapter.EmissionsCallback(), gradient_accumulation_steps=2)
    trainer.train()
    flops = trainer.state.total_flos or None  # 0 for a model that does not count them
    assert work() == {"steps": 60, "samples": 480.0, "tokens": None, "flops": flops}


@pytest.mark.slow
def test_keras_counts_batches_and_the_samples_that_it_is_given():
    keras = pytest.importorskip("keras")
    from adapters.test_estimate import keras_data, keras_model

    from carbon_callbacks.keras import EmissionsCallback

    callback = EmissionsCallback(samples_per_epoch=160)
    keras_model(keras).fit(*keras_data(), epochs=3, batch_size=4, verbose=0, callbacks=[callback])
    assert work() == {"steps": 120, "samples": 480.0, "tokens": None, "flops": None}


@pytest.mark.slow
def test_operations_of_transformers_are_those_of_each_run(tmp_path):
    transformers = pytest.importorskip("transformers")
    from carbon_callbacks.transformers import EmissionsCallback

    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = transformers.BertConfig(vocab_size=16, num_attention_heads=1, **shape)
    data = [{"input_ids": [i % 16, 1, 2], "labels": i % 2} for i in range(8)]

    def trainer(epochs):
        args = transformers.TrainingArguments(
            str(tmp_path / "out"), num_train_epochs=epochs, save_strategy="epoch", report_to="none",
            use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        model = transformers.BertForSequenceClassification(config)
        callbacks = [EmissionsCallback()]
        return transformers.Trainer(model, args, train_dataset=data, callbacks=callbacks)

    trainer(1).train()
    whole = trainer(3)
    whole.train(resume_from_checkpoint=True)
    flops = sorted(one["work"]["flops"] for one in receipts())
    assert sum(flops) == pytest.approx(whole.state.total_flos)
    assert flops[1] == pytest.approx(2 * flops[0]), "the second run trained two of three epochs"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["attribute", "property", "monitored property", "text", "raises"])
def test_operations_of_lightning_are_those_of_its_throughput_monitor(how, tmp_path):
    from adapters.test_estimate import Lightning

    adapter = pytest.importorskip("carbon_callbacks.lightning")
    from lightning.pytorch.callbacks import ThroughputMonitor

    read = []

    def flops_per_batch(module):
        read.append(how)
        if how == "raises":
            raise RuntimeError("of the module")
        return 100.0

    one = Lightning("lightning.pytorch", limit_train_batches=3, limit_val_batches=0)
    module = one.model()
    if how in {"attribute", "text"}:
        module.flops_per_batch = 100 if how == "attribute" else "many"
    else:
        type(module).flops_per_batch = property(flops_per_batch)
    trainer = one.trainer(adapter.EmissionsCallback())
    if "monitored" in how:
        trainer.callbacks.append(ThroughputMonitor(len))
    trainer.fit(module, one.loaders()[0])
    batches = work()["steps"]
    is_counted = how in {"attribute", "monitored property"}
    assert work()["flops"] == (100.0 * batches if is_counted else None)
    assert "monitored" in how or not read, "a property may compute anything"
