"""A custom loop with Lightning Fabric, on one or several ranks, which resumes from a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import digits
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.training import Progress, Training
from carbon_core import energy


def train(output_dir=".", epochs=6, devices=1):
    """Train in two runs, the second of which resumes from a checkpoint."""
    fabric = Fabric(accelerator="cpu", devices=devices)
    fabric.launch()
    fabric.seed_everything(0, verbose=False)
    x_train, y_train, *_ = map(torch.from_numpy, digits.load())
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    net, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), lr=1e-3))
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    loader = fabric.setup_dataloaders(loader)
    path = Path(output_dir) / "fabric.ckpt"
    for first in (0, epochs // 2):  # the second run continues the first one
        training = Training(project_name="fabric-loop", output_dir=output_dir)
        if first:
            training.restore(fabric.load(path)["energy"])
        with training.measure(resumes=first > 0, ranks=fabric.world_size):
            for epoch in range(first, first + epochs // 2):
                training.epoch_begin(epoch / epochs)
                for images, labels in loader:
                    loss = nn.functional.cross_entropy(net(images), labels)
                    optimizer.zero_grad()
                    fabric.backward(loss)
                    optimizer.step()
                training.epoch_end()
                metrics = training.metrics(Progress((epoch + 1) / epochs), f"epoch {epoch}")
                kwh, all_kwh = metrics["energy_kwh"], metrics["all_starts_energy_kwh"]
                fabric.print(
                    f"epoch {epoch}: {energy(kwh)}, {energy(all_kwh)} with the earlier run"
                )
            with training.within("checkpoint"):
                fabric.save(path, {"net": net, "energy": training.state()})
    total = training.final_metrics()
    fabric.print(f"both runs, all ranks: {energy(total['all_starts_energy_kwh'])}")


if __name__ == "__main__":
    train(*sys.argv[1:2], devices=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
