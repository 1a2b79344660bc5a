"""Two ranks whose programs differ: nothing of the callback waits for a rank that does not come.

Every program also runs without the callback, so that one that hangs by itself would be found out.
"""

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

from carbon_callbacks.testing import receipts

pytestmark = pytest.mark.slow  # processes that train

# Far more than a training of a few steps takes on a machine with too much to do.
LIMIT_S = 150.0

COMMON = """
import json, os, sys, time
OPTIONS = json.loads(sys.argv[1])
RANK = int(os.environ["RANK"])
MEASURED, ODD = OPTIONS["measured"], OPTIONS["odd"]
import torch
torch.set_num_threads(1)

class Stream(torch.utils.data.IterableDataset):
    # Shards of different sizes: each rank ends its epochs at other steps.
    def __init__(self, count):
        self.count = count
    def __iter__(self):
        for index in range(self.count):
            yield torch.ones(4) * index / 64

def done(trainer_steps):
    print(json.dumps({"rank": RANK, "steps": trainer_steps}), flush=True)
"""

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
        time.sleep(OPTIONS.get("pause_s", 0.0))
        return {"loss": self.layer(x).square().mean()}

class Trainer(transformers.Trainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        if ODD == "log" and RANK == OPTIONS["rank"]:
            self.log({"mine": 1.0})
        return super().compute_loss(model, inputs, *args, **kwargs)

class Callback(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if RANK != OPTIONS["rank"]:
            return
        if ODD == "log callback":
            trainer.log({"mine": 1.0})
        if ODD == "save" and state.global_step == 3:
            trainer.state.save_to_json("mine.json")
        if ODD == "exception" and state.global_step == 3:
            raise ArithmeticError("on purpose")
        if ODD == "exit" and state.global_step == 3:
            os._exit(7)
        if ODD == "slow":
            time.sleep(0.1)

class Shaped:
    def __init__(self, stream):
        self.stream = stream
    def __iter__(self):
        for one in self.stream:
            yield {"x": one}

class Data(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([{"x": torch.ones(4) * index} for index in range(64)])

arguments = transformers.TrainingArguments(
    output_dir="trainer", max_steps=OPTIONS.get("steps", 12), per_device_train_batch_size=2,
    use_cpu=True, ddp_backend="gloo", report_to=[], save_strategy="no", logging_steps=4,
    disable_tqdm=True,
)
ours = [EmissionsCallback(**OPTIONS["settings"])] if MEASURED else []
if ODD == "callback" and RANK != OPTIONS["rank"]:
    ours = []
trainer = Trainer(Model(), arguments, train_dataset=Data(), callbacks=[*ours, Callback()])
if ODD == "add later" and RANK == OPTIONS["rank"] and MEASURED:
    trainer.remove_callback(EmissionsCallback)
    trainer.add_callback(ours[0])
trainer.train()
if ODD == "again" and MEASURED and RANK == OPTIONS["rank"]:
    ours[0]._training.end()
done(trainer.state.global_step)
torch.distributed.destroy_process_group()
"""
)

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
        time.sleep(OPTIONS.get("pause_s", 0.0))
        if ODD == "log" and RANK == OPTIONS["rank"]:
            self.log("mine", 1.0)
        if ODD == "exception" and RANK == OPTIONS["rank"] and index == 3:
            raise ArithmeticError("on purpose")
        if ODD == "exit" and RANK == OPTIONS["rank"] and index == 3:
            os._exit(7)
        if ODD == "slow" and RANK == OPTIONS["rank"]:
            time.sleep(0.1)
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

ours = [EmissionsCallback(**OPTIONS["settings"])] if MEASURED else []
if ODD == "callback" and RANK != OPTIONS["rank"]:
    ours = []
trainer = pl.Trainer(
    max_epochs=-1, max_steps=OPTIONS.get("steps", 12), accelerator="cpu", devices=2, strategy="ddp",
    callbacks=ours, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
)
count = 6 if ODD == "shards" and RANK == OPTIONS["rank"] else 8
trainer.fit(Model(), torch.utils.data.DataLoader(Stream(2 * count), batch_size=2))
done(trainer.global_step)
"""
)
SCRIPTS = {"lightning": LIGHTNING, "transformers": TRANSFORMERS}


def trained(framework, odd, rank=0, *, measured=True, settings=None, **options):
    """Train on two ranks, one of them odd; return exit codes, steps by rank, and errors."""
    script = Path("train.py")
    script.write_text(SCRIPTS[framework])
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    options |= {"odd": odd, "rank": rank, "measured": measured, "settings": settings or {}}
    began, processes = time.monotonic(), []
    for one in range(2):
        environ = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": f"test-{port}",
            "RANK": str(one),
            "LOCAL_RANK": str(one),
            "GROUP_RANK": "0",
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        with open(f"out-{one}", "w") as out, open(f"err-{one}", "w") as err:
            argv = [sys.executable, str(script), json.dumps(options)]
            processes.append(subprocess.Popen(argv, env=environ, stdout=out, stderr=err))
    try:
        while any(process.poll() is None for process in processes):
            failed = [process for process in processes if process.poll()]
            late = time.monotonic() > began + LIMIT_S
            if failed or late:
                # As a launcher does; but what a rank still writes is waited for.
                deadline = time.monotonic() + (0.0 if late else 20.0)
                while time.monotonic() < deadline and any(p.poll() is None for p in processes):
                    time.sleep(0.05)
                break
            time.sleep(0.05)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
    codes = [process.returncode for process in processes]
    said = "".join(Path(f"out-{one}").read_text() for one in range(2)).splitlines()
    lines = [json.loads(line) for line in said if line.startswith('{"rank"')]
    steps = {line["rank"]: line["steps"] for line in lines}
    errors = [Path(f"err-{one}").read_text()[-3000:] for one in range(2)]
    return codes, steps, errors


@pytest.fixture(params=SCRIPTS)
def framework(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("odd", ["log", "slow", "callback"])
def test_what_one_rank_does_alone_hangs_nobody(framework, odd, rank):
    codes, steps, errors = trained(framework, odd, rank)
    assert codes == [0, 0], errors
    assert steps == {0: 12, 1: 12}


@pytest.mark.parametrize("odd", ["log callback", "save", "add later", "again"])
def test_what_one_rank_of_a_trainer_does_alone_hangs_nobody(odd):
    pytest.importorskip("transformers")
    codes, steps, errors = trained("transformers", odd, 1)
    assert codes == [0, 0], errors
    assert steps == {0: 12, 1: 12}


@pytest.mark.parametrize("rank", [0, 1])
def test_epochs_that_end_at_different_steps_hang_nobody(rank):
    pytest.importorskip("lightning")
    codes, steps, errors = trained("lightning", "shards", rank)
    assert codes == [0, 0], errors
    assert steps == {0: 12, 1: 12}
    assert trained("lightning", "shards", rank, measured=False)[:2] == (codes, steps)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("odd", "code"), [("exception", 1), ("exit", 7)])
def test_a_rank_that_ends_alone_ends_as_it_would(framework, odd, code, rank):
    codes, _, errors = trained(framework, odd, rank)
    assert codes[rank] == code, errors
    if odd == "exception":
        assert "ArithmeticError: on purpose" in errors[rank]
    if rank == 1:
        (receipt,) = receipts()
        assert receipt["run"]["rank"] == 0
        assert receipt["status"] in ("failed", "interrupted")


@pytest.mark.parametrize("odd", ["none", "slow", "log"])
def test_a_budget_stops_both_ranks_at_one_step_that_lay_ahead(framework, odd):
    settings = {"budget_kwh": 1e-12, "measure_power_secs": 0.1}
    codes, steps, errors = trained(framework, odd, 1, settings=settings, steps=400, pause_s=0.01)
    assert codes == [0, 0], errors
    assert steps[0] == steps[1] < 400


def test_a_budget_with_epochs_that_end_at_different_steps_stops_both_at_one_step():
    pytest.importorskip("lightning")
    settings = {"budget_kwh": 1e-12, "measure_power_secs": 0.1}
    codes, steps, errors = trained(
        "lightning", "shards", 1, settings=settings, steps=400, pause_s=0.01
    )
    assert codes == [0, 0], errors
    assert steps[0] == steps[1] < 400


@pytest.mark.parametrize("rank", [0, 1])
def test_a_budget_that_only_one_rank_has_stops_nobody(framework, rank):
    settings = {"budget_kwh": 1e-12, "measure_power_secs": 0.1}
    codes, steps, errors = trained(framework, "callback", rank, settings=settings, steps=40)
    assert codes == [0, 0], errors
    assert steps == {0: 40, 1: 40}


def test_a_rank_without_final_totals_is_named(framework):
    codes, _, errors = trained(framework, "callback", 0)
    assert codes == [0, 0]
    assert "no final totals from rank 1" in errors[0]
