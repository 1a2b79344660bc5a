"""The callback in the workers of Ray Train: within this process (its local mode), and in two."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("ray.train", reason="`nox -s 'adapters(ray_train)'` installs it")


import ray.train
import torch
from adapters.loop_contract import LoopFramework, UserLoop, loader_of, network
from adapters.shipped_contract import ShippedContract
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from carbon_callbacks.ray_train import EmissionsCallback
from carbon_callbacks.testing import receipts, rows


class WorkerLoop(UserLoop):
    """A loop that reports to Ray Train."""

    def __init__(self, energy, *others):
        super().__init__(energy, *others)
        self.net = network()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        self.loader = loader_of(self.batches, self.on_batch, shuffle=True)

    def backward(self, loss):
        loss.backward()

    def log(self, values, step):
        if isinstance(self.energy, EmissionsCallback):
            values = self.energy.with_metrics(values)
        ray.train.report(values)
        self.note(values)

    def run(self, *epochs):
        block = self.energy if isinstance(self.energy, EmissionsCallback) else None
        with block or contextlib.nullcontext():
            super().run(*epochs)


class RayFramework(LoopFramework):
    module = "carbon_callbacks.ray_train"
    package = "ray"
    extra = "ray-train"
    loop_class = WorkerLoop

    def fit(self, loop, *epochs):
        TorchTrainer(lambda: loop.run(*epochs), scaling_config=ScalingConfig(num_workers=0)).fit()


class TestRayTrain(ShippedContract):
    framework = RayFramework()


WORKERS = """
import json, sys, time
import ray.train, torch
from adapters.start_ray import start_ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

def work(config):
    from carbon_callbacks.ray_train import EmissionsCallback

    steps = 0
    with EmissionsCallback(measure_power_secs=0.1, **config["settings"]) as energy:
        for epoch in energy.epochs(config["epochs"]):
            for batch in energy.batches(range(8)):
                steps += 1
                time.sleep(0.01)
            metrics = energy.with_metrics({"loss": 1.0})
            ray.train.report(metrics)
    lines = [None, None]
    torch.distributed.all_gather_object(lines, [steps, metrics["carbon/energy_kwh"]])
    if ray.train.get_context().get_world_rank() == 0:
        with open(config["settings"]["output_dir"] + "/lines.json", "w") as file:
            json.dump(lines, file)

start_ray()
settings = json.loads(sys.argv[1])
result = TorchTrainer(
    work,
    train_loop_config=settings,
    scaling_config=ScalingConfig(num_workers=2),
    run_config=RunConfig(storage_path=settings["settings"]["output_dir"] + "/ray", name="mine"),
).fit()
print("reported", result.metrics["carbon/energy_kwh"] if result.metrics else None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"budget_kwh": 1e-12}], ids=["free", "budget"])
def test_two_workers_count_the_machine_once_report_the_same_and_stop_together(settings, place):
    epochs = 60 if settings else 3
    options = {"epochs": epochs, "settings": {"output_dir": str(place), **settings}}
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, json.dumps(options)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = json.loads((place / "lines.json").read_text())
    assert first == second
    assert first[0] == 24 if not settings else first[0] < 480
    (row,) = rows()
    assert float(row["energy_consumed"]) >= first[1] > 0
    assert [receipt["status"] for receipt in receipts()] == ["completed"]
