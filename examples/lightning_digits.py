"""Lightning: trains a small network on handwritten digits, with an energy budget."""

from __future__ import annotations

import sys

import digits
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.lightning import EmissionsCallback


class Classifier(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def training_step(self, batch, _):
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images), labels)

    def validation_step(self, batch, _):
        images, labels = batch
        self.log("accuracy", (self.net(images).argmax(1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(output_dir=".", epochs=15):
    """Train; return the accuracy on the validation digits and the report of the run."""
    seed_everything(0, verbose=False)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, digits.load())
    name = "lightning-digits"
    callback = EmissionsCallback(project_name=name, output_dir=output_dir, budget_kwh=0.01)
    # Callbacks can monitor the energy: this one would stop the training at the end of an epoch.
    enough = EarlyStopping("carbon/energy_kwh", divergence_threshold=0.005, patience=epochs)
    trainer = Trainer(
        max_epochs=epochs,
        logger=CSVLogger(output_dir),
        callbacks=[callback, enough],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Classifier(),
        DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x_val, y_val), batch_size=450),
    )
    return trainer.callback_metrics["accuracy"].item(), callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
