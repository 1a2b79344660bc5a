"""The callback in loops with Accelerate, as a tracker and without."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate", reason="`nox -s 'adapters(accelerate)'` installs it")

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from adapters.loop_contract import LoopFramework, UserLoop, loader_of, loss_of, network
from adapters.shipped_contract import ShippedContract

from carbon_callbacks.accelerate import EmissionsCallback
from carbon_callbacks.testing import (
    TRAIN_BATCHES,
    WATTS,
    Boom,
    clockwork,
    receipts,
    rows,
)

# The first one sets variables of the environment.
Accelerator(cpu=True)


class Recorder(GeneralTracker):
    """A tracker of the program that keeps what it gets."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self, note=None):
        super().__init__()
        self.logged, self._note, self.is_closed = [], note, False

    @property
    def tracker(self):
        return self.logged

    def log(self, values, step=None, **kwargs):
        assert not self.is_closed
        self.logged.append((step, values))
        if self._note:
            self._note(values)

    def finish(self):
        self.is_closed = True


class AccelerateLoop(UserLoop):
    """A loop that logs with the accelerator's trackers."""

    def __init__(self, energy, *others):
        super().__init__(energy, *others)
        ours = [energy] if energy else []
        self.accelerator = Accelerator(cpu=True, log_with=[*ours, Recorder(self.note)])
        self.net = network()
        loader = loader_of(self.batches, self.on_batch, shuffle=True)
        self.net, self.optimizer, self.loader = self.accelerator.prepare(
            self.net, torch.optim.Adam(self.net.parameters(), lr=0.01), loader
        )

    def backward(self, loss):
        self.accelerator.backward(loss)

    def log(self, values, step):
        self.accelerator.log(values, step=step)

    def run(self, *epochs):
        block = self.energy if isinstance(self.energy, EmissionsCallback) else None
        with block or contextlib.nullcontext():
            self.accelerator.trackers = []
            self.accelerator.log_with[-1].is_closed = False
            self.accelerator.init_trackers("contract")
            super().run(*epochs)
            self.accelerator.end_training()


class AccelerateFramework(LoopFramework):
    module = "carbon_callbacks.accelerate"
    package = "accelerate"
    extra = "accelerate"
    loop_class = AccelerateLoop


class TestAccelerate(ShippedContract):
    framework = AccelerateFramework()


def test_the_receipt_has_the_samples_of_the_data_set(machine):
    AccelerateFramework().train(EmissionsCallback(), on_batch=clockwork(machine.clock))
    assert [one["dataset_samples"] for one in receipts()] == [2 * TRAIN_BATCHES]


def plain_loop(accelerator, epochs=2, on_batch=None):
    """Train with no more than an accelerator."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader_of(TRAIN_BATCHES))
    for epoch in range(epochs):
        for batch in loader:
            if on_batch:
                on_batch("train")
            loss = loss_of(net, batch)
            accelerator.backward(loss)
            optimizer.step()
        accelerator.log({"loss": loss.item()}, step=epoch)


def test_as_a_tracker_alone_it_measures_and_every_tracker_gets_the_metrics(machine):
    energy, recorder = EmissionsCallback(), Recorder()
    accelerator = Accelerator(cpu=True, log_with=[energy, recorder])
    accelerator.init_trackers("mine", config={"lr": 0.01})
    plain_loop(accelerator, on_batch=clockwork(machine.clock))
    assert accelerator.get_tracker("carbon_callbacks") is energy
    accelerator.end_training()
    kwh = WATTS * TRAIN_BATCHES / 3.6e6
    assert [step for step, _ in recorder.logged] == [0, 1, None]
    assert [values["carbon/energy_kwh"] for _, values in recorder.logged] == [
        pytest.approx(kwh),
        pytest.approx(2 * kwh),
        pytest.approx(2 * kwh),
    ]
    assert "carbon/train_energy_kwh" not in recorder.logged[0][1]
    assert [receipt["status"] for receipt in receipts()] == ["completed"]
    assert receipts()[0]["logged_metrics"]["loss"] == recorder.logged[1][1]["loss"]


def test_what_the_loop_logs_takes_precedence(machine):
    recorder = Recorder()
    accelerator = Accelerator(cpu=True, log_with=[EmissionsCallback(), recorder])
    accelerator.log({"loss": 1.0})
    accelerator.init_trackers("mine")
    accelerator.log({"carbon/energy_kwh": -1.0, "loss": 2.0}, step=3)
    accelerator.end_training()
    accelerator.end_training()
    assert recorder.logged[0][1]["carbon/energy_kwh"] == -1.0
    assert len(receipts()) == 1


def test_without_log_with_the_loop_logs_the_metrics_itself(machine):
    energy = EmissionsCallback()
    turn, logged = clockwork(machine.clock), []
    for _ in energy.epochs(2):
        for _ in energy.batches([1, 2, 3]):
            turn("train")
        logged.append(energy.metrics())
    assert [values["carbon/epoch_energy_kwh"] for values in logged] == [
        pytest.approx(WATTS * 3 / 3.6e6)
    ] * 2
    assert energy.metrics()["carbon/energy_kwh"] == pytest.approx(WATTS * 6 / 3.6e6)
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_one_pass_over_the_data_is_an_epoch(machine):
    energy, turn = EmissionsCallback(log_metrics="all"), clockwork(machine.clock)
    with energy:
        for number, _ in enumerate(energy.batches(range(8)), 1):
            turn("train")
            if number == 4:
                metrics = energy.metrics()
        with energy.evaluation("test"):
            turn("validate")
    assert metrics["carbon/epoch_energy_kwh"] == pytest.approx(WATTS * 4 / 3.6e6)
    assert metrics["carbon/forecast_energy_kwh"] == pytest.approx(WATTS * 8 / 3.6e6, rel=0.2)
    phases = {phase.name: phase.joules for phase in energy.report.phases}
    assert phases["train"] == pytest.approx(8 * WATTS)
    assert phases["validate"] == pytest.approx(10 * WATTS)


def test_evaluation_alone_is_a_run_of_its_own(machine):
    energy = EmissionsCallback()
    with energy.evaluation():
        clockwork(machine.clock)("validate")
    (receipt,) = receipts()
    assert [phase["name"] for phase in receipt["phases"] if phase["duration_s"]] == ["evaluate"]


def test_a_break_ends_with_the_block(machine):
    with EmissionsCallback() as energy:
        for epoch in energy.epochs(10):
            for _ in energy.batches(range(3)):
                machine.clock.advance(1.0)
            if epoch == 1:
                break
    assert [receipt["status"] for receipt in receipts()] == ["completed"]
    assert energy.report.energy_kwh.value == pytest.approx(WATTS * 6 / 3.6e6)


@pytest.mark.parametrize("data", [iter(range(3)), (one for one in "abc"), []])
def test_data_without_a_length_or_without_batches_is_measured(data, machine):
    with EmissionsCallback(log_metrics="all") as energy:
        for _ in energy.epochs(2):
            seen = len(list(energy.batches(data)))
            machine.clock.advance(1.0)
    assert seen == 0
    assert energy.report.energy_kwh.value == pytest.approx(WATTS * 2 / 3.6e6)


def test_a_checkpoint_has_the_energy_so_far_and_a_phase(machine):
    turn = clockwork(machine.clock)

    def train(epochs, resume):
        energy = EmissionsCallback(log_metrics="all")
        recorder = Recorder()
        accelerator = Accelerator(cpu=True, log_with=[energy, recorder])
        accelerator.init_trackers("mine")
        accelerator.register_for_checkpointing(energy)
        if resume:
            accelerator.load_state("state")
        for epoch in energy.epochs(epochs):
            for _ in energy.batches(range(4)):
                turn("train")
            accelerator.save_state("state")
            accelerator.log({"loss": 1.0}, step=epoch)
        accelerator.end_training()
        return recorder.logged[-2][1]["carbon/all_starts_energy_kwh"], energy.report

    first_kwh, report = train(2, resume=False)
    assert "checkpoint" in {phase.name for phase in report.phases}
    both_kwh, _ = train(range(2, 4), resume=True)
    assert first_kwh == pytest.approx(WATTS * 8 / 3.6e6)
    assert both_kwh == pytest.approx(2 * first_kwh)


def test_an_exception_without_a_block_is_not_hidden_and_the_next_training_is_measured(machine):
    energy = EmissionsCallback()
    with pytest.raises(Boom):
        for _ in energy.epochs(2):
            for _ in energy.batches(range(3)):
                raise Boom("here")
    for _ in energy.epochs(1):
        for _ in energy.batches(range(3)):
            machine.clock.advance(1.0)
    assert [receipt["status"] for receipt in receipts()] == ["interrupted", "completed"]
    assert energy.report.energy_kwh.value == pytest.approx(WATTS * 3 / 3.6e6)


def test_a_training_that_begins_after_one_that_raised_is_a_run_of_its_own(machine):
    energy = EmissionsCallback()
    accelerator = Accelerator(cpu=True, log_with=[energy])

    def fail(what):
        raise Boom("here")

    accelerator.init_trackers("mine")
    with pytest.raises(Boom):
        plain_loop(accelerator, on_batch=fail)
    accelerator.init_trackers("mine")
    plain_loop(accelerator, on_batch=clockwork(machine.clock))
    accelerator.end_training()
    assert [receipt["status"] for receipt in receipts()] == ["interrupted", "completed"]


class Unsized:
    """Data whose length cannot be had."""

    def __len__(self):
        raise RuntimeError("no length")

    def __iter__(self):
        return iter(range(3))


def test_data_whose_length_raises_is_measured_without_a_word(machine, caplog):
    with EmissionsCallback() as energy:
        assert list(energy.batches(Unsized())) == [0, 1, 2]
    assert not [text for text in caplog.messages if "failed" in text]
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


LAUNCHED = """
import json, sys, time
import torch
from accelerate import Accelerator
from carbon_callbacks.accelerate import EmissionsCallback

EPOCHS, SETTINGS = json.loads(sys.argv[1])
energy = EmissionsCallback(measure_power_secs=0.1, **SETTINGS)
accelerator = Accelerator(cpu=True, log_with=[energy])
net = torch.nn.Linear(4, 1)
loader = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4)
net, optimizer, loader = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.01), loader)
accelerator.init_trackers("mine")
steps = 0
for epoch in energy.epochs(EPOCHS):
    for batch in energy.batches(loader):
        accelerator.backward(net(batch).square().mean())
        optimizer.step()
        steps += 1
        time.sleep(0.01)
    metrics = energy.metrics()
accelerator.end_training()
kwh = metrics["carbon/energy_kwh"]
sys.stdout.write(f"rank {accelerator.process_index}: {steps} steps {kwh!r} kWh\\n")
"""


def launched(epochs, **settings):
    """Train on two ranks with `accelerate launch`, eight steps an epoch; return their lines.

    Without MPI, the launcher for several processes is that for GPUs; the script trains on the CPU.
    """
    Path("train.py").write_text(LAUNCHED)
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
        "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0",
        "train.py", json.dumps([epochs, settings]),
    ]  # fmt: skip
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted(line.split() for line in done.stdout.splitlines() if line.startswith("rank "))


@pytest.mark.slow
def test_two_ranks_count_the_machine_once_and_log_the_same():
    first, second = launched(3)
    assert first[1:4] == ["0:", "24", "steps"]
    assert second[1:4] == ["1:", "24", "steps"]
    assert float(first[4]) == float(second[4]) > 0
    (row,) = rows()
    (receipt,) = receipts()
    assert float(row["energy_consumed"]) >= float(first[4])
    assert (receipt["status"], receipt["run"]["rank"]) == ("completed", 0)


@pytest.mark.slow
def test_a_budget_stops_two_ranks_at_the_same_step():
    first, second = launched(60, budget_kwh=1e-12)
    assert first[2] == second[2]
    assert int(first[2]) < 480
    assert [receipt["status"] for receipt in receipts()] == ["completed"]
