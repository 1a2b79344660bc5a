"""Lightning DDP: two ranks on one machine count each device once, and both log the total."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import digits
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning_digits import Classifier
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.lightning import EmissionsCallback
from carbon_core import energy


def train(output_dir=".", epochs=5):
    """Train on two ranks; return the Trainer of this rank."""
    seed_everything(0, verbose=False)
    x_train, y_train, *_ = map(torch.from_numpy, digits.load())
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EmissionsCallback(project_name="two-ranks", output_dir=output_dir)],
    )
    trainer.fit(Classifier(), DataLoader(TensorDataset(x_train, y_train), batch_size=32))
    return trainer


if __name__ == "__main__":
    output_dir = Path(*sys.argv[1:2], "two_ranks")
    trainer = train(str(output_dir))
    kwh = float(trainer.callback_metrics["carbon/energy_kwh"])
    print(f"rank {trainer.global_rank} logged {energy(kwh)}", flush=True)
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        paths = output_dir.glob("carbon_runs/*.receipt.json")
        for path in sorted(paths, key=os.path.getmtime)[-1:]:
            data = json.loads(path.read_text())
            devices = ", ".join(device["name"] for device in data["devices"])
            print(f"receipt of rank {data['run']['rank']}: {devices}")
            print(f"all ranks: {energy(data['training']['energy_kwh'])}")
