"""Two workers of Ray Train: the machine counts once, and both report the total."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import digits
import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.ray_train import EmissionsCallback
from carbon_core import energy


def work(config):
    """Train on one worker."""
    x_train, y_train, *_ = map(torch.from_numpy, config["digits"])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    net = ray.train.torch.prepare_model(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    loader = ray.train.torch.prepare_data_loader(loader)
    with EmissionsCallback(project_name="ray-digits", output_dir=config["results"]) as callback:
        for _ in callback.epochs(config["epochs"]):
            for images, labels in callback.batches(loader):
                loss = nn.functional.cross_entropy(net(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with tempfile.TemporaryDirectory() as directory:
                torch.save({"energy": callback.state_dict()}, f"{directory}/state.pt")
                checkpoint = ray.train.Checkpoint.from_directory(directory)
                first = ray.train.get_context().get_world_rank() == 0
                metrics = callback.with_metrics({"loss": loss.item()})
                ray.train.report(metrics, checkpoint=checkpoint if first else None)


def train(output_dir=".", epochs=3):
    """Train on two workers; return the metrics that they reported last."""
    results = str(Path(output_dir).resolve())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    config = {"digits": digits.load(), "results": results, "epochs": epochs}
    trainer = TorchTrainer(
        work,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(storage_path=results),
    )
    return trainer.fit().metrics


if __name__ == "__main__":
    metrics = train(*sys.argv[1:2])
    print(f"loss {metrics['loss']:.3f}; {energy(metrics['carbon/energy_kwh'])} of both workers")
