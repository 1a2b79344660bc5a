"""Two ranks of one training on this machine: one of them measures, and both stop together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from carbon_callbacks.testing import receipts, rows

pytestmark = pytest.mark.slow  # processes that train
TIMEOUT_S = 180.0

LIGHTNING = """
import json, sys, time
import lightning as pl, torch
from carbon_callbacks.lightning import EmissionsCallback

EPOCHS, PAUSE_S, SETTINGS = json.loads(sys.argv[1])

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        time.sleep(PAUSE_S)
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

callback = EmissionsCallback(**SETTINGS)
enough = pl.pytorch.callbacks.EarlyStopping("carbon/energy_kwh", patience=100)
data = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4, num_workers=0)
trainer = pl.Trainer(
    max_epochs=EPOCHS, accelerator="cpu", devices=2, strategy="ddp", callbacks=[callback, enough],
    log_every_n_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Model(), data)
print(f"rank {trainer.global_rank}: {trainer.global_step} steps", flush=True)
"""

TRANSFORMERS = """
import json, sys, time
import torch, transformers
from carbon_callbacks.transformers import EmissionsCallback

EPOCHS, PAUSE_S, SETTINGS = json.loads(sys.argv[1])

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x, labels=None):
        time.sleep(PAUSE_S)
        return {"loss": self.layer(x).square().mean()}

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        return {"x": torch.ones(4) * index / 64}

arguments = transformers.TrainingArguments(
    output_dir="trainer", num_train_epochs=EPOCHS, per_device_train_batch_size=4, use_cpu=True,
    ddp_backend="gloo", report_to=[], save_strategy="no", logging_steps=2, disable_tqdm=True,
)
callback = EmissionsCallback(return_metrics=not EPOCHS, **SETTINGS)
trainer = transformers.Trainer(Model(), arguments, train_dataset=Data(), callbacks=[callback])
if EPOCHS:
    trainer.train()
    print(f"rank {arguments.process_index}: {trainer.state.global_step} steps", flush=True)
else:
    kwh = trainer.evaluate(Data())["eval_carbon_energy_kwh"]
    print(f"rank {arguments.process_index}: {kwh} kWh", flush=True)
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def launched(
    framework: str, epochs: int = 4, pause_s: float = 0.0, **settings: object
) -> list[str]:
    """Train on two ranks, eight steps an epoch; return how many steps each says it took."""
    script = Path("train.py")
    script.write_text(LIGHTNING if framework == "lightning" else TRANSFORMERS)
    argv = [sys.executable, str(script), json.dumps([epochs, pause_s, settings])]
    port = str(free_port())
    if framework == "transformers":
        run = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
        argv[1:1] = [*run, "--master-addr=127.0.0.1"]
    environ = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sync_dist" not in done.stderr  # what is alike on all ranks needs no advice
    return sorted(line for line in done.stdout.splitlines() if line.startswith("rank "))


@pytest.fixture(params=["lightning", "transformers"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def test_one_rank_of_a_machine_measures_it_once(framework):
    assert launched(framework) == ["rank 0: 32 steps", "rank 1: 32 steps"]
    (row,) = rows()
    (receipt,) = receipts()
    assert float(row["energy_consumed"]) > 0
    assert (receipt["status"], receipt["run"]["rank"]) == ("completed", 0)


@pytest.mark.parametrize(
    ("epochs", "pause_s", "at_most"),
    [(40, 0.01, 200), (1, 0.25, 7)],
    ids=["epochs", "one long epoch"],
)
def test_all_ranks_stop_at_the_same_step_when_the_one_that_measures_finds_the_budget_used_up(
    framework, epochs, pause_s, at_most
):
    lines = launched(framework, epochs, pause_s, budget_kwh=1e-12, measure_power_secs=0.1)
    steps = [int(line.split()[2]) for line in lines]
    assert len(steps) == 2
    assert steps[0] == steps[1] <= at_most
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_all_ranks_stop_at_the_same_step_when_a_metric_improves_too_little():
    """With the same vote as for a budget, which the tests above have for each framework."""
    pytest.importorskip("transformers")
    bound = {"min_improvement_per_kwh": 1e14, "patience": 2, "on_low_improvement": "stop"}
    lines = launched("transformers", 40, 0.01, improvement_of="loss", **bound)
    steps = [int(line.split()[2]) for line in lines]
    assert len(steps) == 2
    assert steps[0] == steps[1] <= 200
    assert [receipt["status"] for receipt in receipts()] == ["completed"]


def test_a_budget_that_is_kept_holds_up_no_rank(framework):
    lines = launched(framework, budget_kwh=1e6)
    assert lines == ["rank 0: 32 steps", "rank 1: 32 steps"]


def test_an_evaluation_alone_is_measured_once_and_told_alike_on_all_ranks():
    pytest.importorskip("transformers")
    lines = launched("transformers", epochs=0, pause_s=0.05)
    first, second = (float(line.split()[2]) for line in lines)
    assert first == second > 0
    assert len(rows()) == 1
