"""A custom loop with Lightning Fabric, on one or several ranks, which resumes from a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import digits
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.fabric import EmissionsCallback
from carbon_core import energy


def run(output_dir=".", epochs=6, devices=1):
    """Train in two runs, the second of which resumes from a checkpoint."""
    for first in (0, epochs // 2):
        callback = EmissionsCallback(
            project_name="fabric-loop", output_dir=output_dir, log_metrics="all"
        )
        fabric = Fabric(accelerator="cpu", devices=devices, callbacks=[callback])
        fabric.launch()
        with callback:
            train(fabric, callback, range(first, first + epochs // 2), Path(output_dir))
        total_kwh = callback.metrics()["carbon/all_starts_energy_kwh"]
        fabric.print(f"all runs so far, all ranks: {energy(total_kwh)}")


def train(fabric, callback, epochs, directory):
    """Train for some epochs, from the checkpoint of an earlier run if these are not the first."""
    fabric.seed_everything(0, verbose=False)
    x_train, y_train, *_ = map(torch.from_numpy, digits.load())
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    net, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), lr=1e-3))
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    loader = fabric.setup_dataloaders(loader)
    state = {"net": net, "optimizer": optimizer, "energy": callback}
    if epochs.start:
        fabric.load(directory / "fabric.ckpt", state)
    for epoch in callback.epochs(epochs):
        for images, labels in callback.batches(loader):
            loss = nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
        kwh = callback.metrics()["carbon/energy_kwh"]
        fabric.print(f"epoch {epoch}: loss {loss.item():.3f}, {energy(kwh)} in this run")
    fabric.save(directory / "fabric.ckpt", state)


if __name__ == "__main__":
    run(*sys.argv[1:2], devices=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
