"""The callback attached to engines of PyTorch Ignite."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("ignite", reason="`nox -s 'adapters(ignite)'` installs it")

import torch
from adapters.loop_contract import loader_of, loss_of, network
from adapters.shipped_contract import ShippedContract, ShippedFramework, bytes_of
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver

from carbon_callbacks._training.metrics import PREFIX
from carbon_callbacks.ignite import EmissionsCallback
from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCHES,
    VALIDATE_BATCHES,
    WATTS,
    Boom,
    Outcome,
    clockwork,
    nothing,
    receipts,
)


class IgniteFramework(ShippedFramework):
    module = "carbon_callbacks.ignite"
    package = "ignite"
    extra = "ignite"

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        net, logged = network(), []
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

        def train_step(engine, batch):
            on_batch("train")
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            loss.backward()
            optimizer.step()
            return loss.item()

        def evaluate_step(engine, batch):
            on_batch("validate")
            return loss_of(net, batch).item()

        trainer, evaluator = Engine(train_step), Engine(evaluate_step)

        @trainer.on(Events.EPOCH_COMPLETED)
        def evaluate(engine):
            evaluator.run(loader_of(VALIDATE_BATCHES))
            engine.state.metrics["loss"] = evaluator.state.output

        for one in callbacks:
            if isinstance(one, EmissionsCallback):
                one.attach(trainer, evaluator)
            else:
                trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), one)

        @trainer.on(Events.EPOCH_COMPLETED)
        def log(engine):
            metrics = engine.state.metrics
            logged.append(
                {name.removeprefix(PREFIX): metrics[name] for name in metrics if name != "loss"}
            )

        loader = loader_of(batches, on_batch, shuffle=True)
        trainer.run(loader, max_epochs=epochs)
        own = [metrics for metrics in logged if metrics]
        parts = SimpleNamespace(trainer=trainer, evaluator=evaluator, loader=loader)
        return Outcome(bytes_of(net.state_dict()), parts, own)

    def train_again(self, outcome):
        outcome.trainer.trainer.run(outcome.trainer.loader, max_epochs=EPOCHS)

    def in_hook(self, act):
        return lambda engine: act()


class TestIgnite(ShippedContract):
    framework = IgniteFramework()


def test_the_receipt_has_the_samples_of_the_data_set(machine):
    IgniteFramework().train(EmissionsCallback(), on_batch=clockwork(machine.clock))
    assert [one["dataset_samples"] for one in receipts()] == [2 * TRAIN_BATCHES]


def engines(on_batch=nothing):
    return Engine(lambda engine, batch: on_batch("train")), Engine(
        lambda engine, batch: on_batch("validate")
    )


def test_a_run_by_iterations_has_a_forecast(machine):
    trainer, _ = engines(clockwork(machine.clock))
    logged = []
    EmissionsCallback(log_metrics="all").attach(trainer)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: logged.append(dict(trainer.state.metrics))
    )
    try:
        trainer.run(range(10), max_iters=40)
    except TypeError:
        pytest.skip("this version of Ignite counts epochs only")
    kwh = WATTS * 40 / 3.6e6
    assert logged[0]["carbon_forecast_energy_kwh"] == pytest.approx(kwh, rel=0.2)
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_data_without_a_length_is_measured(machine):
    trainer, _ = engines(clockwork(machine.clock))
    callback = EmissionsCallback().attach(trainer)
    trainer.run(iter(range(5)), max_epochs=1)
    assert callback.report.energy_kwh.value == pytest.approx(WATTS * 5 / 3.6e6)


def test_a_run_whose_exception_a_handler_of_the_program_hides_is_ended_with_it():
    def fail(what):
        raise Boom("here")

    trainer, _ = engines(fail)
    seen = []
    EmissionsCallback().attach(trainer)
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: seen.append(error))
    trainer.run(range(5), max_epochs=1)
    assert [type(error) for error in seen] == [Boom]
    # Ignite continues with the end of the epoch, or ends at once.
    assert [receipt["status"] for receipt in receipts()] in (["completed"], ["interrupted"])


def test_a_program_that_terminates_the_run_has_completed_it(machine):
    trainer, _ = engines(clockwork(machine.clock))
    callback = EmissionsCallback().attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), trainer.terminate)
    trainer.run(range(5), max_epochs=2)
    assert callback.report.energy_kwh.value == pytest.approx(WATTS * 3 / 3.6e6)
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_a_checkpoint_adds_the_energy_before_it(machine):
    turn = clockwork(machine.clock)
    found = []
    for epochs in (2, 4):
        trainer, _ = engines(turn)
        callback = EmissionsCallback(log_metrics="all").attach(trainer)
        saved = {"trainer": trainer, "energy": callback}
        saver = Checkpoint(saved, DiskSaver("states", require_empty=False), n_saved=None)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, saver)
        if epochs == 4:
            state = torch.load("states/checkpoint_10.pt", weights_only=True)
            Checkpoint.load_objects(saved, state)
        trainer.run(range(5), max_epochs=epochs)
        found.append(trainer.state.metrics["carbon_all_starts_energy_kwh"])
    assert found == [pytest.approx(WATTS * 10 / 3.6e6), pytest.approx(WATTS * 20 / 3.6e6)]
