"""Ends of a Lightning training that happen to a whole process: signals, and workers that it spawned."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from carbon_callbacks.testing import receipts
from carbon_core.outputs.merging import merge
from carbon_core.outputs.receipt import segment_data

pytestmark = pytest.mark.slow  # processes that train
TIMEOUT_S = 150.0
PROGRAM = """
import json, os, sys, time
import lightning as pl, torch
from carbon_callbacks.lightning import EmissionsCallback

OPTIONS = json.loads(sys.argv[1])

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        time.sleep(0.02)
        if self.trainer.current_epoch == OPTIONS.get("die_in_epoch") and index == 20:
            os.kill(os.getpid(), 9)
        if OPTIONS.get("raise") and index == 10:
            raise ArithmeticError("on purpose")
        return self.layer(batch).square().mean()
    def on_train_batch_start(self, batch, index):
        if index == 3:
            print("training", flush=True)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

if __name__ == "__main__":
    torch.set_num_threads(1)
    callback = EmissionsCallback(measure_power_secs=0.1)
    saving = pl.pytorch.callbacks.ModelCheckpoint("kept", save_last=True)
    trainer = pl.Trainer(
        max_epochs=OPTIONS.get("epochs", 2), accelerator="cpu", callbacks=[callback, saving],
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        **OPTIONS.get("trainer", {}),
    )
    data = torch.utils.data.DataLoader(torch.randn(80, 4), batch_size=2)
    for _ in range(OPTIONS.get("fits", 1)):
        trainer.fit(Model(), data, ckpt_path=OPTIONS.get("ckpt_path"))
"""


def started(**options):
    script = Path("train.py")
    script.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(script), json.dumps(options)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """Wait for a process; return its exit code and what it said of errors."""
    try:
        _, error = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return process.returncode, error


def test_a_training_that_is_told_to_terminate_is_closed_and_keeps_what_it_measured():
    process = started(epochs=500)
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGTERM)
    _, error = ended(process)
    assert "SIGTERM" in error
    (receipt,) = receipts()
    assert receipt["status"] in {"failed", "interrupted"}
    assert receipt["energy_kwh"]["value"] > 0


def test_a_killed_training_that_resumes_adds_up_with_all_that_its_journal_tells():
    code, _ = ended(started(epochs=3, die_in_epoch=1))
    assert code == -signal.SIGKILL
    time.sleep(0.1)
    code, error = ended(started(epochs=3, ckpt_path="kept/last.ckpt"))
    assert code == 0, error
    (training,) = merge(Path())
    first, second = training.parts
    assert [first.status, second.status] == ["interrupted", "completed"]
    # An epoch takes 0.8 s and its checkpoint knows as much; it was killed half an epoch later.
    assert first.segment.duration_s > 1.1
    found = {receipt["run"]["run_id"]: receipt for receipt in receipts()}
    resumed = found[second.segment.run_id]
    assert resumed["earlier_starts"] == [segment_data(first.segment)]
    assert resumed["training"]["energy_kwh"] == pytest.approx(training.energy_kwh)


SPAWN = {"strategy": "ddp_spawn", "devices": 2}


def test_spawned_workers_measure_their_machine_once():
    code, error = ended(started(trainer=SPAWN))
    assert code == 0, error
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_a_second_fit_that_cannot_be_spawned_says_so_as_lightning_does():
    code, error = ended(started(trainer=SPAWN, fits=2))
    assert code != 0
    assert "EmissionsCallback" not in error.rpartition("Error")[2]
    assert [receipt["status"] for receipt in receipts()][:1] == ["completed"]


def test_a_spawned_worker_that_raises_leaves_what_was_measured():
    code, error = ended(started(trainer=SPAWN, **{"raise": True}))
    assert code != 0
    assert "ArithmeticError: on purpose" in error
    (training,) = merge(Path())
    (part,) = training.parts
    assert part.status in {"failed", "interrupted"}
    assert part.segment.energy_kwh > 0
