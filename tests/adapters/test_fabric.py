"""The callback in loops with Lightning Fabric."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning.fabric", reason="`nox -s 'adapters(fabric)'` installs it")

import torch
from adapters.loop_contract import LoopFramework, UserLoop, loader_of, loss_of, network
from adapters.shipped_contract import ShippedContract
from lightning.fabric import Fabric
from lightning.fabric.loggers import Logger

from carbon_callbacks.fabric import EmissionsCallback
from carbon_callbacks.testing import (
    TRAIN_BATCHES,
    WATTS,
    Boom,
    clockwork,
    nothing,
    receipts,
    rows,
)


class Recorder(Logger):
    """A logger that keeps what it gets."""

    name = "recorder"
    version = 0

    def __init__(self, note=nothing):
        self.logged, self._note = [], note

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.logged.append((step, metrics))
        self._note(metrics)


class FabricLoop(UserLoop):
    """A loop that Fabric launches."""

    def __init__(self, energy, *others):
        super().__init__(energy, *others)
        self.fabric = Fabric(
            accelerator="cpu",
            devices=1,
            callbacks=[energy] if energy else [],
            loggers=[Recorder(self.note)],
        )
        self.net = network()
        self.loader = self.fabric.setup_dataloaders(
            loader_of(self.batches, self.on_batch, shuffle=True)
        )

    def run(self, *epochs):
        self.net, self.optimizer = self.fabric.setup(
            self.net, torch.optim.Adam(self.net.parameters(), lr=0.01)
        )
        super().run(*epochs)
        self.net = self.net.module

    def backward(self, loss):
        self.fabric.backward(loss)

    def log(self, values, step):
        self.fabric.log_dict(values, step=step)


class FabricFramework(LoopFramework):
    module = "carbon_callbacks.fabric"
    package = "lightning"
    extra = "fabric"
    loop_class = FabricLoop

    def fit(self, loop, *epochs):
        loop.fabric.launch(lambda fabric: loop.run(*epochs))


class TestFabric(ShippedContract):
    framework = FabricFramework()


def test_the_receipt_has_the_samples_of_the_data_set(machine):
    FabricFramework().train(EmissionsCallback(), on_batch=clockwork(machine.clock))
    assert [one["dataset_samples"] for one in receipts()] == [2 * TRAIN_BATCHES]


def plain_loop(fabric, on_batch, call=nothing):
    """Train with no more than Fabric."""
    net = network()
    net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.01))
    for epoch in range(2):
        call("on_train_epoch_start")
        for batch in fabric.setup_dataloaders(loader_of(TRAIN_BATCHES)):
            on_batch("train")
            loss = loss_of(net, batch)
            fabric.backward(loss)
            optimizer.step()
        call("on_validation_epoch_start")
        on_batch("validate")
        call("on_validation_epoch_end")
        call("on_train_epoch_end")
        fabric.log_dict({"loss": loss}, step=epoch)


def test_a_loop_with_no_more_than_the_callback_is_measured_and_logged(machine):
    energy, recorder = EmissionsCallback(), Recorder()
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[energy], loggers=[recorder])
    fabric.launch(plain_loop, clockwork(machine.clock))
    kwh = WATTS * (TRAIN_BATCHES + 10) / 3.6e6
    logged = [values["carbon/energy_kwh"] for _, values in recorder.logged]
    assert logged == [pytest.approx(kwh), pytest.approx(2 * kwh)]
    assert energy.report.energy_kwh.value == pytest.approx(2 * kwh)
    (receipt,) = receipts()
    assert receipt["status"] == "completed"
    assert "train" in {phase["name"] for phase in receipt["phases"]}


def test_hooks_that_a_loop_calls_are_its_phases_and_epochs(machine):
    energy, recorder = EmissionsCallback(), Recorder()
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=energy, loggers=recorder)
    with energy:
        plain_loop(fabric, clockwork(machine.clock), fabric.call)
    phases = {phase.name: phase.joules for phase in energy.report.phases}
    assert phases["train"] == pytest.approx(WATTS * 2 * TRAIN_BATCHES)
    assert phases["validate"] == pytest.approx(WATTS * 20)
    kwh = WATTS * (TRAIN_BATCHES + 10) / 3.6e6
    assert recorder.logged[1][1]["carbon/epoch_energy_kwh"] == pytest.approx(kwh)


def test_hooks_within_the_callback_s_own_epochs_change_nothing(machine):
    turn = clockwork(machine.clock)
    with EmissionsCallback() as energy:
        fabric = Fabric(accelerator="cpu", devices=1, callbacks=[energy])
        for _ in energy.epochs(2):
            fabric.call("on_train_epoch_start", fabric, 1)
            for _ in energy.batches(range(4)):
                turn("train")
            fabric.call("on_train_epoch_end", fabric, epoch=3)
            metrics = energy.metrics()
    assert metrics["carbon/epoch_energy_kwh"] == pytest.approx(WATTS * 4 / 3.6e6)


def test_an_exception_in_the_launched_function_ends_the_run():
    energy = EmissionsCallback()
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[energy])

    def fail(what):
        raise Boom("here")

    with pytest.raises(Boom):
        fabric.launch(plain_loop, fail)
    assert [receipt["status"] for receipt in receipts()] == ["failed"]


def test_a_checkpoint_has_the_energy_so_far_and_a_phase(machine):
    def train(fabric, epochs, resume):
        net, _ = fabric.setup(network(), torch.optim.SGD(network().parameters(), lr=0.01))
        if resume:
            fabric.load("state.ckpt", {"net": net, "energy": fabric._callbacks[0]})
        for _ in fabric._callbacks[0].epochs(epochs):
            for _ in fabric._callbacks[0].batches(range(4)):
                machine.clock.advance(1.0)
            fabric.save("state.ckpt", {"net": net, "energy": fabric._callbacks[0]})
            fabric.log_dict({"loss": 1.0})

    found = []
    for epochs in (range(2), range(2, 4)):
        energy, recorder = EmissionsCallback(log_metrics="all"), Recorder()
        fabric = Fabric(accelerator="cpu", devices=1, callbacks=[energy], loggers=[recorder])
        fabric.launch(train, epochs, resume=epochs.start > 0)
        assert "checkpoint" in {phase.name for phase in energy.report.phases}
        found.append(recorder.logged[-1][1]["carbon/all_starts_energy_kwh"])
    assert found[0] == pytest.approx(WATTS * 8 / 3.6e6)
    assert found[1] == pytest.approx(2 * found[0])


LAUNCHED = """
import json, sys, time
import torch
from lightning.fabric import Fabric
from carbon_callbacks.fabric import EmissionsCallback

EPOCHS, SETTINGS = json.loads(sys.argv[1])

def train(fabric):
    net = torch.nn.Linear(4, 1)
    net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.01))
    loader = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4)
    loader = fabric.setup_dataloaders(loader)
    steps = 0
    for epoch in energy.epochs(EPOCHS):
        for batch in energy.batches(loader):
            fabric.backward(net(batch).square().mean())
            optimizer.step()
            steps += 1
            time.sleep(0.01)
        metrics = energy.metrics()
    kwh = metrics["carbon/energy_kwh"]
    sys.stdout.write(f"rank {fabric.global_rank}: {steps} steps {kwh!r} kWh\\n")

energy = EmissionsCallback(measure_power_secs=0.1, **SETTINGS)
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp", callbacks=[energy])
fabric.launch(train)
"""


@pytest.mark.slow
def test_two_ranks_count_the_machine_once_log_the_same_and_stop_together():
    Path("train.py").write_text(LAUNCHED)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    environ = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    command = [sys.executable, "train.py", json.dumps([60, {"budget_kwh": 1e-12}])]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = sorted(line.split() for line in done.stdout.splitlines() if line.startswith("rank "))
    first, second = lines
    assert first[2] == second[2]
    assert int(first[2]) < 480
    assert float(first[4]) == float(second[4]) > 0
    (row,) = rows()
    assert float(row["energy_consumed"]) >= float(first[4])
    assert [receipt["status"] for receipt in receipts()] == ["completed"]
