"""Two ranks of one training on this machine: one of them measures, and both stop together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from adapters.contract import receipts, rows

TIMEOUT_S = 180.0

LIGHTNING = """
import json, os, sys
import lightning as pl, torch
from carbon_callbacks.lightning import EmissionsCallback

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

callback = EmissionsCallback(**json.loads(sys.argv[1]))
data = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4, num_workers=0)
trainer = pl.Trainer(
    max_epochs=4, accelerator="cpu", devices=2, strategy="ddp", callbacks=[callback],
    logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Model(), data)
epochs = trainer.global_step // len(trainer.train_dataloader)
print(f"rank {trainer.global_rank}: {epochs} epochs", flush=True)
"""

TRANSFORMERS = """
import json, os, sys
import torch, transformers
from carbon_callbacks.transformers import EmissionsCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x, labels=None):
        return {"loss": self.layer(x).square().mean()}

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        return {"x": torch.ones(4) * index / 64}

arguments = transformers.TrainingArguments(
    output_dir="trainer", num_train_epochs=4, per_device_train_batch_size=4, use_cpu=True,
    ddp_backend="gloo", report_to=[], save_strategy="no", logging_strategy="epoch", disable_tqdm=True,
)
callback = EmissionsCallback(**json.loads(sys.argv[1]))
trainer = transformers.Trainer(Model(), arguments, train_dataset=Data(), callbacks=[callback])
trainer.train()
print(f"rank {arguments.process_index}: {round(trainer.state.epoch)} epochs", flush=True)
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def launched(framework: str, **settings: object) -> list[str]:
    """Train on two ranks and return the line of each."""
    script = Path("train.py")
    script.write_text(LIGHTNING if framework == "lightning" else TRANSFORMERS)
    argv = [sys.executable, str(script), json.dumps(settings)]
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
    return sorted(line for line in done.stdout.splitlines() if line.startswith("rank "))


@pytest.fixture(params=["lightning", "transformers"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def test_one_rank_of_a_machine_measures_it_once(framework):
    assert launched(framework) == ["rank 0: 4 epochs", "rank 1: 4 epochs"]
    (row,) = rows()
    (receipt,) = receipts()
    assert float(row["energy_consumed"]) > 0
    assert (receipt["status"], receipt["run"]["rank"]) == ("completed", 0)


def test_all_ranks_stop_together_when_the_one_that_measures_finds_the_budget_used_up(framework):
    lines = launched(framework, budget_kwh=1e-12)
    assert lines == ["rank 0: 1 epochs", "rank 1: 1 epochs"]
    (receipt,) = receipts()
    assert receipt["status"] == "completed"


def test_a_budget_that_is_kept_holds_up_no_rank(framework):
    lines = launched(framework, budget_kwh=1e6)
    assert lines == ["rank 0: 4 epochs", "rank 1: 4 epochs"]
