"""Lightning: total energy of a killed and resumed training, including work after the checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import digits
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning_digits import Classifier
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.lightning import EmissionsCallback
from carbon_core import energy


class Kill(Callback):
    """Kills the process in the middle of an epoch, as a batch system would."""

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.current_epoch == 3 and index == 20:
            os.kill(os.getpid(), signal.SIGKILL)


def train(output_dir, *more, checkpoint=None):
    """Train, from a checkpoint if there is one; return the report of this run."""
    x_train, y_train, *_ = map(torch.from_numpy, digits.load())
    # A killed run is recovered from its journal, which gets a record at each reading.
    callback = EmissionsCallback(
        project_name="resumed", output_dir=output_dir, measure_power_secs=0.1
    )
    trainer = Trainer(
        max_epochs=6,
        logger=False,
        callbacks=[callback, ModelCheckpoint(output_dir, save_last=True), *more],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    trainer.fit(Classifier(), data, ckpt_path=checkpoint)
    return callback.report


if __name__ == "__main__":
    output_dir = "/".join([*sys.argv[1:2], "resumed"])
    if "killed" in sys.argv:
        train(output_dir, Kill())
    shutil.rmtree(output_dir, ignore_errors=True)
    first = subprocess.run([sys.executable, __file__, *sys.argv[1:2], "killed"], check=False)
    print(f"the first run ended with {signal.Signals(-first.returncode).name}")
    report = train(output_dir, checkpoint=f"{output_dir}/last.ckpt")
    kwh, whole_kwh = report.energy_kwh.value, report.training_kwh
    print(f"this run {energy(kwh)}, whole training {energy(whole_kwh)}")
    subprocess.run(["carbon-callbacks", "merge", output_dir], check=True)
