"""Two ranks and their devices: each device counts once, and every rank knows what all of them took."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from nvml_standin.standin import PowerCurve, build, environment, why_not

from carbon_callbacks.testing import receipts
from carbon_core.outputs.merging import merge

pytestmark = pytest.mark.slow  # processes that train
TIMEOUT_S = 150.0
GPU_W = 300.0

COMMON = """
import json, os, sys, time
OPTIONS = json.loads(sys.argv[1])
RANK = int(os.environ["RANK"])
if OPTIONS.get("own_gpu"):
    os.environ["CUDA_VISIBLE_DEVICES"] = str(RANK)
import torch
if OPTIONS.get("patient"):
    # On a busy machine, 50 ms are not enough: a rank then logs its own figures, as it should.
    from carbon_callbacks._training import rank_exchange
    rank_exchange._LOG_TIMEOUT_S = 60.0

BEGUN = []

def step():
    BEGUN.append(time.monotonic())
    time.sleep(OPTIONS.get("pause_s", 0.02))
    late = BEGUN[-1] > BEGUN[0] + 1.2
    if OPTIONS.get("die") == RANK and late:
        os.kill(os.getpid(), 9)
    if OPTIONS.get("raise") == RANK and late:
        raise ArithmeticError("on purpose")

def wanted(callback):
    return [] if OPTIONS.get("only_rank") not in (None, RANK) else [callback]
"""

LIGHTNING = (
    COMMON
    + """
import lightning as pl
from carbon_callbacks.lightning import EmissionsCallback

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        step()
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
    def on_train_epoch_end(self):
        metrics = self.trainer.callback_metrics
        known = {k: float(v) for k, v in metrics.items() if k.startswith("carbon/")}
        print(json.dumps({"rank": RANK, "kwh": known.get("carbon/energy_kwh")}), flush=True)

trainer = pl.Trainer(
    max_epochs=2, accelerator="cpu", devices=OPTIONS.get("devices", 2),
    num_nodes=OPTIONS.get("nodes", 1), strategy="ddp",
    callbacks=wanted(EmissionsCallback(**OPTIONS.get("settings", {}))), logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
data = torch.utils.data.DataLoader(torch.randn(160, 4), batch_size=2)
trainer.fit(Model(), data)
"""
)

TRANSFORMERS = (
    COMMON
    + """
import transformers
from carbon_callbacks.transformers import EmissionsCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x, labels=None):
        step()
        return {"loss": self.layer(x).square().mean()}

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 160
    def __getitem__(self, index):
        return {"x": torch.ones(4) * index / 64}

class Print(transformers.TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        print(json.dumps({"rank": RANK, "kwh": logs.get("carbon_energy_kwh")}), flush=True)

arguments = transformers.TrainingArguments(
    output_dir="trainer", num_train_epochs=2, per_device_train_batch_size=2, use_cpu=True,
    ddp_backend="gloo", report_to=[], save_strategy="no", logging_strategy="epoch",
    disable_tqdm=True, log_on_each_node=True,
)
callbacks = wanted(EmissionsCallback(**OPTIONS.get("settings", {})))
trainer = transformers.Trainer(
    Model(), arguments, train_dataset=Data(), callbacks=[*callbacks, Print()],
)
trainer.train()
torch.distributed.destroy_process_group()
"""
)
SCRIPTS = {"lightning": LIGHTNING, "transformers": TRANSFORMERS}


@pytest.fixture(params=SCRIPTS)
def framework(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope="session")
def gpus(tmp_path_factory):
    """The variables of a machine with two GPUs of 300 W each."""
    if reason := why_not():
        pytest.skip(reason)
    library = build(tmp_path_factory.mktemp("nvml"))
    return environment(library.parent, gpus=2, curve=PowerCurve.constant(GPU_W))


class Ranks:
    """Two processes of one training, each in its own session, ended by their ids."""

    def __init__(self, framework, variables, *, hosts=1, private=False, **options):
        script = Path("train.py")
        script.write_text(SCRIPTS[framework])
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        options |= {"devices": 2 // hosts, "nodes": hosts}
        self.processes = []
        for rank in range(2):
            environ = {
                **os.environ,
                **variables,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "TORCHELASTIC_RUN_ID": f"test-{port}",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank % (2 // hosts)),
                "GROUP_RANK": str(rank // (2 // hosts)),
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": str(2 // hosts),
                "OMP_NUM_THREADS": "1",
                "GLOO_SOCKET_IFNAME": "lo",
                "TMPDIR": str(temporary(rank if hosts > 1 or private else 0)),
            }
            process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(options)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.processes.append(process)

    def end(self, *, patience_s=TIMEOUT_S):
        """Wait for both; once one has died, its launcher would end the other, so we do."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and all(p.poll() is None for p in self.processes):
            time.sleep(0.05)
        codes = [process.poll() for process in self.processes]
        grace_s = 10.0 if any(codes) else max(1.0, deadline - time.monotonic())
        said = []
        for process in self.processes:
            try:
                said.append(process.communicate(timeout=grace_s))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                said.append(process.communicate())
        self.errors = [error for _, error in said]
        return [process.returncode for process in self.processes], [
            json.loads(line)
            for out, _ in said
            for line in out.splitlines()
            if line.startswith('{"rank"')
        ]


def temporary(host):
    path = Path(f"tmp-{host}").absolute()
    path.mkdir(exist_ok=True)
    return path


def gpu_kwh(receipt):
    return receipt["components"].get("gpu", {}).get("energy_kwh", 0.0)


def devices_of(found):
    return sorted(device["id"] for receipt in found for device in receipt["devices"])


def truth_kwh(receipt, count):
    return count * GPU_W * receipt["duration_s"] / 3.6e6


def by_rank(found):
    return sorted(found, key=lambda receipt: receipt["run"]["rank"])


def test_each_rank_counts_the_gpu_that_only_it_can_see(framework, gpus):
    ranks = Ranks(framework, gpus, own_gpu=True, patient=True)
    codes, lines = ranks.end()
    assert codes == [0, 0], ranks.errors
    first, second = by_rank(receipts())
    ids = devices_of([first, second])
    assert len(ids) == len(set(ids)) == 4  # two GPUs, one processor, one memory
    for receipt in (first, second):
        assert gpu_kwh(receipt) == pytest.approx(truth_kwh(receipt, 1), rel=0.005)
    own = [first["energy_kwh"]["value"], second["energy_kwh"]["value"]]
    # What every rank knew at its end, and what its receipt says, is what both took.
    assert first["training"]["energy_kwh"] == pytest.approx(sum(own), rel=0.005)
    assert second["training"]["energy_kwh"] == pytest.approx(sum(own), rel=0.005)
    assert_all_ranks_log_the_same(lines)
    assert max(line["kwh"] for line in lines) == pytest.approx(sum(own), rel=0.2)
    (training,) = merge(Path())
    assert training.energy_kwh == pytest.approx(sum(own))


def assert_all_ranks_log_the_same(lines):
    said = [[line["kwh"] for line in lines if line["rank"] == rank] for rank in (0, 1)]
    assert len(said[0]) >= 2
    assert said[0] == said[1]
    assert said[0] == sorted(said[0])


def test_the_first_rank_counts_all_that_it_can_see(framework, gpus):
    ranks = Ranks(framework, gpus, patient=True)
    codes, lines = ranks.end()
    assert codes == [0, 0], ranks.errors
    (receipt,) = receipts()
    assert receipt["run"]["rank"] == 0
    assert gpu_kwh(receipt) == pytest.approx(truth_kwh(receipt, 2), rel=0.005)
    assert_all_ranks_log_the_same(lines)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_ranks_with_private_temporary_directories_count_each_gpu_once(framework, gpus):
    ranks = Ranks(framework, gpus, private=True, patient=True)
    codes, lines = ranks.end()
    assert codes == [0, 0], ranks.errors
    (receipt,) = receipts()
    assert gpu_kwh(receipt) == pytest.approx(truth_kwh(receipt, 2), rel=0.005)
    assert_all_ranks_log_the_same(lines)
    assert "same GPU" not in ranks.errors[0]


def test_two_hosts_add_up(framework, gpus):
    ranks = Ranks(framework, gpus, hosts=2, patient=True)
    codes, lines = ranks.end()
    assert codes == [0, 0], ranks.errors
    found = by_rank(receipts())
    assert [receipt["run"]["rank"] for receipt in found] == [0, 1]
    total = sum(receipt["energy_kwh"]["value"] for receipt in found)
    assert sum(map(gpu_kwh, found)) == pytest.approx(
        sum(truth_kwh(receipt, 2) for receipt in found), rel=0.005
    )
    assert found[0]["training"]["energy_kwh"] == pytest.approx(total, rel=0.005)
    assert_all_ranks_log_the_same(lines)
    # Both have the same GPUs here, as two containers on one machine have.
    assert "several ranks count the same GPU: GPU-0000" in ranks.errors[0]


def test_a_rank_that_is_killed_leaves_what_it_measured(framework, gpus):
    settings = {"measure_power_secs": 0.2}
    ranks = Ranks(framework, gpus, own_gpu=True, die=1, settings=settings, pause_s=0.05)
    codes, _ = ranks.end()
    assert codes[1] == -signal.SIGKILL
    (training,) = merged_after(codes)
    assert sorted(part.rank for part in training.parts) == [0, 1]
    killed = next(part for part in training.parts if part.rank == 1)
    assert killed.status == "interrupted"
    watts = killed.segment.energy_kwh * 3.6e6 / killed.segment.duration_s
    assert killed.segment.duration_s > 1.0
    assert watts == pytest.approx(GPU_W, rel=0.005)


def merged_after(codes):
    """Return the trainings after the launcher, too, has ended; ranks apart are trainings apart."""
    found = merge(Path())
    assert found, codes
    parts = [part for training in found for part in training.parts]
    return [type(found[0])(tuple(parts))]


def test_a_rank_that_raises_leaves_what_all_measured(framework, gpus):
    ranks = Ranks(framework, gpus, own_gpu=True, **{"raise": 1})
    codes, _ = ranks.end()
    assert codes[1] != 0
    assert "ArithmeticError: on purpose" in ranks.errors[1]
    (training,) = merged_after(codes)
    assert sorted(part.rank for part in training.parts) == [0, 1]
    assert all(part.segment.energy_kwh > 0 for part in training.parts)


@pytest.mark.parametrize("only", [0, 1])
def test_a_callback_that_only_one_rank_has_hangs_nobody(only, framework):
    # A budget that it finds used up at once must not end its own rank alone, either.
    settings = {"budget_kwh": 1e-12, "measure_power_secs": 0.1}
    ranks = Ranks(framework, {}, only_rank=only, settings=settings)
    codes, _ = ranks.end()
    assert codes == [0, 0], ranks.errors
    if only == 0:
        assert "no final totals from rank 1: it has no callback" in ranks.errors[0]
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
