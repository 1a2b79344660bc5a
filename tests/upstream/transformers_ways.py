"""Ways to use the Hugging Face Trainer; each runs with and without the callback.

Every trainer has a `Recorder` as its last callback, so that each way also compares the order of the
hooks, the control flags and the metrics that other callbacks get.
"""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import ast
import contextlib
import copy
import functools
import inspect
import io
import json
import math
import os
import pickle
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments
from upstream.harness import Boom, Framework, Log, Place, Unavailable, Ways

from carbon_callbacks.transformers import EmissionsCallback

WAYS = Ways()

SAMPLES = 12
BATCH = 2
STEPS = SAMPLES // BATCH  # of an epoch
OUR_STATE = "carbon_callbacks:"


class Transformers(Framework):
    """The Trainer of transformers."""

    name = "transformers"
    loggers = ("transformers", "accelerate", "trl", "optuna")
    classes = (Trainer, TrainerCallback, transformers.trainer_callback.CallbackHandler)
    accompanying = frozenset({"epoch", "step", "hook", "flags"})

    def new_callback(self) -> Any:
        return EmissionsCallback(log_level="warning")

    def file_name(self, name: str) -> str:
        name = re.sub(r"runs/[^/]+/", "runs/", name)
        return re.sub(r"events\.out\.tfevents\..*", "events.out.tfevents", name)

    def content(self, path: Path) -> Any:
        if path.name == "trainer_state.json":
            return state_log(json.loads(path.read_text()))
        if path.name.endswith("_results.json"):
            return plain(json.loads(path.read_text()))
        if path.name == "README.md":
            card = ModelCard(path.read_text())
            return {"data": card.data.to_dict(), "text": card.text}
        if path.suffix in (".pt", ".pth"):
            return torch.load(path, map_location="cpu", weights_only=False)
        if path.suffix == ".safetensors":
            return load_file(path)
        if "tfevents" in path.name:
            return Log([({tag: value}, step) for tag, value, step in scalars_of(path)])
        return super().content(path)


def state_log(state: dict[str, Any]) -> Log:
    """Return the state of a checkpoint: first what is no log entry, then the log entries."""
    log = Log()
    history = state.pop("log_history")
    log.add(plain(state))
    for entry in plain(history):
        log.add(entry, entry.pop("step", None))
    return log


def scalars_of(path: Path) -> Iterator[tuple[str, Any, int]]:
    """Yield the scalars of TensorBoard's file, without times."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield value.tag, plain(value.simple_value, f"_{value.tag}"), event.step


# --- a tiny training -------------------------------------------------------------------------------


class Samples(torch.utils.data.Dataset):
    """Pairs of four numbers and their sum."""

    def __init__(self, count: int = SAMPLES) -> None:
        self.x = torch.arange(count * 4, dtype=torch.float32).reshape(count, 4).sin()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": self.x[index], "labels": self.x[index].sum()}


class Stream(torch.utils.data.IterableDataset):
    """The same without a length."""

    def __iter__(self) -> Any:
        samples = Samples()
        return (samples[i] for i in range(len(samples)))


class LengthRaises(Samples):
    """A data set whose length raises once the DataLoader has been built."""

    calls = 0

    def __len__(self) -> int:
        self.calls += 1
        frame = sys._getframe(1)
        if "carbon_callbacks" in frame.f_code.co_filename:
            raise Boom("no length for this caller")
        return super().__len__()


class FailsAt(Samples):
    """A data set that raises when a sample is loaded for the n-th time."""

    def __init__(self, load: int, error: BaseException) -> None:
        super().__init__()
        self.load, self.error = load, error

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.load -= 1
        if self.load == 0:
            raise self.error
        return super().__getitem__(index)


class Net(torch.nn.Module):
    """A linear layer after a layer that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.linear = torch.nn.Dropout(0.5), torch.nn.Linear(4, 1)
        self.config = transformers.PretrainedConfig()

    def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
        logits = self.linear(self.drop(x)).squeeze(1)
        if labels is None:
            return {"logits": logits}
        return {"loss": (logits - labels).square().mean(), "logits": logits}


class FailingNet(Net):
    """Raises in its n-th forward pass, training or evaluation as told."""

    def __init__(self, call: int, error: BaseException, *, training: bool = True) -> None:
        super().__init__()
        self.call, self.error, self.when = call, error, training

    def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
        if self.training is self.when:
            self.call -= 1
            if self.call == 0:
                raise self.error
        return super().forward(x, labels)


class Classes(torch.nn.Module):
    """Two classes, for losses that want them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)
        self.config = transformers.PretrainedConfig()

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        logits = self.linear(x)
        loss = torch.nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return {"loss": loss, "logits": logits}


class ClassSamples(Samples):
    """Four numbers, and which side of zero their sum is on."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": self.x[index], "labels": int(self.x[index].sum() > 0)}


class Tokens(torch.utils.data.Dataset):
    """Sequences of a few tokens, of different lengths unless told otherwise."""

    def __init__(self, *, equal: bool = False) -> None:
        lengths = [6] * 8 if equal else [3, 5, 4, 6, 3, 4, 5, 6]
        self.rows = [[(i * 7 + j) % 11 + 1 for j in range(n)] for i, n in enumerate(lengths)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": list(self.rows[index]), "labels": list(self.rows[index])}


def padded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate sequences of different lengths."""
    longest = max(len(row["input_ids"]) for row in rows)

    def pad(name: str, filler: int) -> Any:
        return torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])

    return {"input_ids": pad("input_ids", 0), "labels": pad("labels", -100)}


def language_model() -> Any:
    """Return a Llama of a few hundred numbers."""
    torch.manual_seed(7)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=13,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


class Recorder(TrainerCallback):
    """Notes each hook with its control flags, and the metrics that it gets."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.metrics: list[Any] = []

    def note(self, hook: str, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        flags = sorted(name for name, value in vars(control).items() if value is True)
        entry = {"hook": hook, "step": state.global_step, "flags": ",".join(flags)}
        self.events.append({**entry, **(kwargs.get("logs") or {})})
        if "metrics" in kwargs:
            self.metrics.append([hook, dict(kwargs["metrics"] or {})])


for _hook in [name for name in dir(TrainerCallback) if name.startswith("on_")]:
    setattr(Recorder, _hook, functools.partialmethod(Recorder.note, _hook))


def arguments(place: Place, **options: Any) -> Any:
    """Return the arguments of a short training."""
    needs(*options)
    base: dict[str, Any] = {
        "output_dir": str(place.path / "trainer"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": BATCH,
        "learning_rate": 0.01,
        "logging_strategy": "epoch",
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 7,
    }
    kind = options.pop("args_kind", TrainingArguments)
    return kind(**{**base, **options})


def needs(*options: str) -> None:
    """Skip a way whose arguments this version of transformers lacks."""
    known = {*TrainingArguments.__dataclass_fields__, "args_kind"}
    seq2seq = transformers.Seq2SeqTrainingArguments.__dataclass_fields__
    if missing := [name for name in options if name not in known and name not in seq2seq]:
        raise Unavailable(f"this version's arguments lack {', '.join(missing)}")


_OF_TRAINER = frozenset(inspect.signature(Trainer.__init__).parameters)


def make(
    place: Place,
    *,
    kind: Any = Trainer,
    ours: list[Any] | None = None,
    before: tuple[Any, ...] = (),
    after: tuple[Any, ...] = (),
    watch: bool = True,
    **options: Any,
) -> Any:
    """Make a Trainer of a tiny model.

    Args:
        place: Where it runs.
        kind: The Trainer's class.
        ours: Our callbacks; those of the place by default.
        before: Other callbacks ahead of ours.
        after: Other callbacks behind ours.
        watch: Whether it is compared what outlives the way.
        **options: Arguments of the Trainer, and fields of its TrainingArguments.
    """
    torch.manual_seed(7)
    given = {name: options.pop(name) for name in list(options) if name in _OF_TRAINER}
    recorder = Recorder()
    given.setdefault("train_dataset", Samples())
    given.setdefault("eval_dataset", Samples(4))
    if "model_init" not in given:
        given.setdefault("model", Net())
    ours = place.callbacks if ours is None else ours
    trainer = kind(
        args=given.pop("args", None) or arguments(place, **options),
        callbacks=[*before, *ours, *after, recorder],
        **given,
    )
    trainer.recorder = recorder
    if watch:
        number = len(place.watched)
        place.watch(**{f"trainer {number}": trainer})
        if trainer.model is not None:
            place.watch(**{f"model {number}": trainer.model})
    return trainer


# --- what is compared ------------------------------------------------------------------------------

_TIMES = ("_runtime", "_per_second", "_preparation_time", "_mem_")


def plain(value: Any, key: str = "") -> Any:
    """Return a value in plain types; times and sizes of memory become None."""
    if any(part in key for part in _TIMES):
        return None
    if isinstance(value, dict):
        return {str(name): plain(one, str(name)) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def weights_of(model: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def of_others(trainer: Any) -> list[str]:
    """Return the names of the callbacks, without ours."""
    kinds = [type(one) for one in trainer.callback_handler.callbacks]
    return [kind.__name__ for kind in kinds if not kind.__module__.startswith("carbon_callbacks")]


def state_of(trainer: Any) -> dict[str, Any]:
    """Return what a Trainer says of itself."""
    state = trainer.state
    best = state.best_model_checkpoint
    return {
        "step": state.global_step,
        "epoch": state.epoch,
        "max_steps": state.max_steps,
        "best_metric": state.best_metric,
        "best": best and Path(best).name,
        "flags": dict(vars(trainer.control)),
        "callbacks": of_others(trainer),
        "training": trainer.is_in_train,
    }


def seen(place: Place, trainer: Any, *returned: Any) -> Any:
    """Put what is compared of a Trainer into the place; return what the way returned."""
    place.seen.weights["model"] = weights_of(trainer.model)
    place.inspect(trainer=trainer)
    note_logs(place, "hooks", trainer.recorder.events)
    note_logs(place, "history", trainer.state.log_history)
    return plain([*returned, state_of(trainer), trainer.recorder.metrics])


def note_logs(place: Place, name: str, entries: Any) -> None:
    """Add the entries of one logger to what is compared."""
    for entry in plain(entries):
        place.log(name).add(entry, entry.pop("step", None))


def attempt(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a call raises, as type and text; its result if it raises nothing."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        return [type(error).__name__, str(error), cause]


def runs_of_ours() -> int:
    """Return how many files our runs have written."""
    return sum(1 for file in Path(os.environ["CODECARBON_OUTPUT_DIR"]).rglob("*") if file.is_file())


def must_hold_our_segment(place: Place, checkpoint: Path) -> None:
    """Note a difference unless the measured run's checkpoint has our segments."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    kept = [v for k, v in state["stateful_callbacks"].items() if k.startswith(OUR_STATE)]
    held = bool(kept) and all(kept) if place.measured else True
    place.seen.metrics[f"segment in {checkpoint.name}"] = held


def checkpoints(place: Place, directory: str = "trainer") -> list[Path]:
    found = (place.path / directory).glob("checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]))


class At(TrainerCallback):
    """Calls a function in a hook, from a step on, once unless told otherwise."""

    def __init__(self, hook: str, act: Any, *, step: int = 0, times: int = 1) -> None:
        self.step, self.times, self.act = step, times, act
        setattr(self, hook, self.reached)

    def reached(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step >= self.step and self.times:
            self.times -= 1
            return self.act(state=state, control=control, **kwargs)
        return None


def raising(error: BaseException) -> Any:
    def act(**_: Any) -> None:
        raise error

    return act


def flagging(**flags: bool) -> Any:
    """Return a function that sets flags of the control."""

    def act(control: Any, **_: Any) -> None:
        for name, value in flags.items():
            setattr(control, name, value)

    return act


# --- loops and limits ------------------------------------------------------------------------------

_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "one epoch": {"num_train_epochs": 1},
    "steps": {"max_steps": 5},
    "a part of an epoch": {"num_train_epochs": 0.5},
    "an epoch and a half": {"num_train_epochs": 1.5},
    "a log at every step": {"logging_strategy": "steps", "logging_steps": 1},
    "a log at every fraction": {"logging_strategy": "steps", "logging_steps": 0.3},
    "a log at the first step": {"logging_strategy": "steps", "logging_first_step": True},
    "no logs": {"logging_strategy": "no"},
    "evaluation at each epoch": {"eval_strategy": "epoch"},
    "evaluation in steps": {"eval_strategy": "steps", "eval_steps": 4},
    "evaluation on start": {"eval_strategy": "epoch", "eval_on_start": True},
    "evaluation after a delay": {"eval_strategy": "epoch", "eval_delay": 1},
    "loss of predictions only": {"eval_strategy": "epoch", "prediction_loss_only": True},
    "accumulated predictions": {"eval_strategy": "epoch", "eval_accumulation_steps": 1},
    "checkpoints at each epoch": {"save_strategy": "epoch"},
    "checkpoints in steps": {"save_strategy": "steps", "save_steps": 4},
    "a limit of checkpoints": {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1},
    "checkpoints of the model only": {"save_strategy": "epoch", "save_only_model": True},
    "checkpoints and evaluations": {"save_strategy": "epoch", "eval_strategy": "epoch"},
    "the best checkpoint at the end": {
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "num_train_epochs": 3,
        "learning_rate": 1.0,
    },
    "the best by a metric": {
        "save_strategy": "steps",
        "eval_strategy": "steps",
        "save_steps": 4,
        "eval_steps": 4,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
        "save_total_limit": 1,
    },
    "checkpoints of the best only": {
        "save_strategy": "best",
        "eval_strategy": "epoch",
        "metric_for_best_model": "loss",
        "load_best_model_at_end": True,
        "num_train_epochs": 3,
    },
    "gradient accumulation": {"gradient_accumulation_steps": 3},
    "accumulation that does not divide": {"gradient_accumulation_steps": 4},
    "the last batch dropped": {"per_device_train_batch_size": 5, "dataloader_drop_last": True},
    "no clipping": {"max_grad_norm": 0.0},
    "warm-up": {"warmup_steps": 3},
    "a cosine": {"lr_scheduler_type": "cosine"},
    "cosine with restarts": {
        "lr_scheduler_type": "cosine_with_restarts",
        "lr_scheduler_kwargs": {"num_cycles": 2},
    },
    "a rate that falls on a plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "eval_strategy": "epoch",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.1},
        "metric_for_best_model": "loss",
        "num_train_epochs": 4,
        "learning_rate": 1.0,
    },
    "stochastic gradient descent": {"optim": "sgd"},
    "bfloat16": {"bf16": True, "eval_strategy": "epoch"},
    "a seed for the data": {"data_seed": 11},
    "tokens counted": {"include_num_input_tokens_seen": True},
    "tokens counted with logs at each step": {
        "include_num_input_tokens_seen": True,
        "logging_strategy": "steps",
        "logging_steps": 1,
    },
    "memory in the metrics": {"skip_memory_metrics": False, "eval_strategy": "epoch"},
    "an empty cache": {"torch_empty_cache_steps": 2},
    "a worker that loads": {"dataloader_num_workers": 1, "num_train_epochs": 1},
    "no filter of nan": {"logging_nan_inf_filter": False},
    "columns kept": {"remove_unused_columns": False},
    "bars of progress": {"disable_tqdm": False, "eval_strategy": "epoch"},
}


def _register(name: str, options: dict[str, Any]) -> None:
    @WAYS.way(name)
    def with_options(place: Place) -> Any:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer = make(place, **options)
            return seen(place, trainer, trainer.train())


for _name, _options in _OPTIONS.items():
    _register(_name, _options)


@WAYS.way("sequences grouped by length")
def sequences_grouped_by_length(place: Place) -> Any:
    fields = TrainingArguments.__dataclass_fields__
    old = "group_by_length" in fields
    grouping = {"group_by_length": True} if old else {"train_sampling_strategy": "group_by_length"}
    trainer = make(
        place,
        model=language_model(),
        train_dataset=Tokens(),
        eval_dataset=Tokens(),
        data_collator=padded,
        eval_strategy="epoch",
        **grouping,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("a stream with steps")
def a_stream_with_steps(place: Place) -> Any:
    trainer = make(place, train_dataset=Stream(), eval_dataset=Stream(), max_steps=8)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("a stream without steps raises")
def a_stream_without_steps_raises(place: Place) -> Any:
    return attempt(make, place, train_dataset=Stream())


@WAYS.way("a DataLoader of the user's")
def a_dataloader_of_the_users(place: Place) -> Any:
    class Own(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Samples(), batch_size=3, shuffle=True)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a weighted sampler")
def a_weighted_sampler(place: Place) -> Any:
    class Own(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            weights = [1.0 + i for i in range(SAMPLES)]
            return torch.utils.data.WeightedRandomSampler(weights, 8)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("batches that are iterated only")
def batches_that_are_iterated_only(place: Place) -> Any:
    class Batches:
        """Neither a length nor a data set."""

        def __iter__(self) -> Any:
            return iter(torch.utils.data.DataLoader(Samples(), batch_size=BATCH))

    class Own(Trainer):
        def get_train_dataloader(self) -> Any:
            return Batches()

    trainer = make(place, kind=Own, max_steps=8)
    return seen(place, trainer, attempt(trainer.train))


@WAYS.way("a data set whose length raises")
def a_data_set_whose_length_raises(place: Place) -> Any:
    trainer = make(place, train_dataset=LengthRaises(), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("the length of the data set is asked as often")
def the_length_is_asked_as_often(place: Place) -> Any:
    class Counted(Samples):
        calls = 0

        def __len__(self) -> int:
            self.calls += 1
            return super().__len__()

    data = Counted()
    trainer = make(place, train_dataset=data)
    output = trainer.train()
    return seen(place, trainer, output, data.calls)


@WAYS.way("a data set of the package datasets")
def a_data_set_of_datasets(place: Place) -> Any:
    datasets = place.need("datasets")
    samples = [Samples()[i] for i in range(SAMPLES)]
    columns = {
        "x": [one["x"].tolist() for one in samples],
        "labels": [one["labels"].item() for one in samples],
        "unused": ["text"] * SAMPLES,
    }
    data = datasets.Dataset.from_dict(columns)
    trainer = make(place, train_dataset=data, eval_dataset=data, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("stopped by another callback")
def stopped_by_another_callback(place: Place) -> Any:
    stop = At("on_step_end", flagging(should_training_stop=True), step=3)
    trainer = make(place, after=(stop,), save_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("epochs cut short by another callback")
def epochs_cut_short(place: Place) -> Any:
    stop = At("on_step_end", flagging(should_epoch_stop=True), step=3)
    trainer = make(place, before=(stop,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("evaluation asked for by another callback")
def evaluation_asked_for(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_evaluate=True), step=2, times=2)
    trainer = make(place, after=(ask,))
    return seen(place, trainer, trainer.train())


@WAYS.way("a log asked for by another callback")
def a_log_asked_for(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_log=True), step=2, times=2)
    trainer = make(place, after=(ask,))
    return seen(place, trainer, trainer.train())


@WAYS.way("a step skipped by on_step_begin's control")
def a_control_returned_anew(place: Place) -> Any:
    def replace(control: Any, **_: Any) -> Any:
        return copy.copy(control)

    trainer = make(place, before=(At("on_step_begin", replace, times=9),), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


# --- Trainers of the user's ------------------------------------------------------------------------


@WAYS.way("a loss that logs")
def a_loss_that_logs(place: Place) -> Any:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().compute_loss(model, inputs, *args, **kwargs)
            loss = found[0] if isinstance(found, tuple) else found
            self.log({"own_loss": loss.item()})
            return found

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a loss that logs names of ours")
def a_loss_that_logs_names_of_ours(place: Place) -> Any:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            logs = {"energy_kwh": 5.0, "power_w": 1.0}
            self.log(logs)
            self.logged = logs
            return super().compute_loss(model, inputs, *args, **kwargs)

    trainer = make(place, kind=Own)
    output = trainer.train()
    own = {name: trainer.logged[name] for name in ("energy_kwh", "power_w")}
    return seen(place, trainer, output, own)


@WAYS.way("a loss function given")
def a_loss_function_given(place: Place) -> Any:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        return (outputs["logits"] - labels).abs().mean()

    trainer = make(place, compute_loss_func=loss, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("log overridden with super")
def log_with_super(place: Place) -> Any:
    class Own(Trainer):
        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            logs["own"] = len(logs)
            super().log(logs, *args, **kwargs)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("log overridden with super and a copy")
def log_with_super_and_a_copy(place: Place) -> Any:
    class Own(Trainer):
        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            super().log({f"own_{name}": value for name, value in logs.items()}, *args, **kwargs)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("log overridden without super")
def log_without_super(place: Place) -> Any:
    class Own(Trainer):
        kept: list[Any]

        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            self.__dict__.setdefault("kept", []).append(dict(logs))

    trainer = make(place, kind=Own, eval_strategy="epoch")
    output = trainer.train()
    return seen(place, trainer, output, trainer.evaluate(), trainer.kept)


@WAYS.way("evaluate overridden with super")
def evaluate_with_super(place: Place) -> Any:
    class Own(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super().evaluate(*args, **kwargs)
            metrics["eval_count"] = len(metrics)
            self.log({"eval_count": metrics["eval_count"]})
            return metrics

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("evaluate overridden without super")
def evaluate_without_super(place: Place) -> Any:
    class Own(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            self.model.eval()
            with torch.no_grad():
                batch = torch.utils.data.default_collate([Samples()[0], Samples()[1]])
                metrics = {"eval_loss": self.model(**batch)["loss"].item()}
            self.model.train()
            return metrics

    trainer = make(
        place,
        kind=Own,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model="loss",
        load_best_model_at_end=True,
    )
    return seen(place, trainer, trainer.evaluate(), trainer.train(), trainer.evaluate())


@WAYS.way("an evaluation loop of the user's")
def an_evaluation_loop(place: Place) -> Any:
    class Own(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, **kwargs)
            output.metrics["eval_own"] = 1.0
            return output

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("a prediction step of the user's")
def a_prediction_step(place: Place) -> Any:
    class Own(Trainer):
        def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss, logits, labels = super().prediction_step(model, inputs, False)
            return loss * 2, logits, labels

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("train overridden with super")
def train_with_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            self.log({"own_end": 1.0})
            return output._replace(training_loss=1.0)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("train overridden without super")
def train_without_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> float:
            optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
            for batch in self.get_train_dataloader():
                loss = self.model(**batch)["loss"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                self.log({"loss": loss.item()})
            return loss.item()

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("train that trains twice with super")
def train_twice_with_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            return [super().train(*args, **kwargs), super().train(*args, **kwargs)]

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a training step with super")
def a_training_step_with_super(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            for parameter in self.model.parameters():
                parameter.grad.mul_(0.5)
            return loss

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a training step without super")
def a_training_step_without_super(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = model(**self._prepare_inputs(inputs))["loss"]
            self.accelerator.backward(loss)
            return loss.detach()

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("an optimizer created by the subclass")
def an_optimizer_created(place: Place) -> Any:
    class Own(Trainer):
        def create_optimizer(self, *_: Any) -> Any:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
            return self.optimizer

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a scheduler created with super")
def a_scheduler_created(place: Place) -> Any:
    class Own(Trainer):
        def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
            self.created = True
            return super().create_scheduler(*args, **kwargs)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train(), trainer.created)


@WAYS.way("optimizer and scheduler given")
def optimizer_and_scheduler_given(place: Place) -> Any:
    torch.manual_seed(7)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    place.watch(optimizer=optimizer)
    trainer = make(place, model=model, optimizers=(optimizer, scheduler))
    return seen(place, trainer, trainer.train())


@WAYS.way("an optimizer's class given")
def an_optimizers_class_given(place: Place) -> Any:
    if "optimizer_cls_and_kwargs" not in _OF_TRAINER:
        raise Unavailable("this version takes no optimizer's class")
    trainer = make(place, optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 0.1}))
    return seen(place, trainer, trainer.train())


@WAYS.way("a checkpoint saved with super")
def a_checkpoint_saved_with_super(place: Place) -> Any:
    class Own(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            step = self.state.global_step
            (Path(self.args.output_dir) / f"checkpoint-{step}" / "own.txt").write_text(str(step))

    trainer = make(place, kind=Own, save_strategy="epoch")
    output = trainer.train()
    for one in checkpoints(place):
        must_hold_our_segment(place, one)
    return seen(place, trainer, output)


@WAYS.way("a checkpoint saved without super")
def a_checkpoint_saved_without_super(place: Place) -> Any:
    class Own(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            path = Path(self.args.output_dir)
            path.mkdir(exist_ok=True)
            (path / "own.txt").write_text(str(self.state.global_step))

    trainer = make(place, kind=Own, save_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a Trainer with slots of its own names")
def a_trainer_that_counts_its_attributes(place: Place) -> Any:
    class Own(Trainer):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in ("train", "evaluate", "predict"):
                raise AttributeError(f"{name} is read-only")
            super().__setattr__(name, value)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("Seq2SeqTrainer")
def seq2seq_trainer(place: Place) -> Any:
    torch.manual_seed(7)
    config = transformers.T5Config(
        vocab_size=13,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    trainer = make(
        place,
        kind=transformers.Seq2SeqTrainer,
        model=transformers.T5ForConditionalGeneration(config),
        train_dataset=Tokens(equal=True),
        eval_dataset=Tokens(equal=True),
        data_collator=padded,
        args_kind=transformers.Seq2SeqTrainingArguments,
        predict_with_generate=True,
        generation_max_length=5,
        eval_strategy="epoch",
        num_train_epochs=1,
    )
    return seen(place, trainer, trainer.train(), trainer.predict(Tokens(equal=True), max_length=4))


@WAYS.way("TRL's SFTTrainer")
def sft_trainer(place: Place) -> Any:
    trl = place.need("trl")
    datasets = place.need("datasets")
    tokenizers = place.need("tokenizers")
    words = {"<unk>": 0, "<pad>": 1, "</s>": 2, "one": 3, "two": 4, "three": 5}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    lines = datasets.Dataset.from_dict({"text": ["one two three", "two three", "three one"] * 3})
    recorder = Recorder()
    trainer = trl.SFTTrainer(
        model=language_model(),
        args=trl.SFTConfig(
            output_dir=str(place.path / "sft"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            logging_steps=1,
            save_strategy="epoch",
            eval_strategy="epoch",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            dataset_num_proc=None,
            max_length=8,
        ),
        train_dataset=lines,
        eval_dataset=lines,
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
        ),
        callbacks=[*place.callbacks, recorder],
    )
    trainer.recorder = recorder
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place, "sft")[-1])
    return seen(place, trainer, output, trainer.evaluate())


@WAYS.way("label smoothing")
def label_smoothing(place: Place) -> Any:
    torch.manual_seed(7)
    data = {"train_dataset": ClassSamples(), "eval_dataset": ClassSamples(4)}
    trainer = make(
        place, model=Classes(), label_smoothing_factor=0.1, eval_strategy="epoch", **data
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("noise on embeddings")
def noise_on_embeddings(place: Place) -> Any:
    trainer = make(
        place,
        model=language_model(),
        train_dataset=Tokens(equal=True),
        neftune_noise_alpha=1.0,
        data_collator=padded,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("a dictionary of arguments later changed")
def arguments_later_changed(place: Place) -> Any:
    trainer = make(place)
    first = trainer.train()
    trainer.args.num_train_epochs = 1
    trainer.args.learning_rate = 0.1
    return seen(place, trainer, first, trainer.train())


# --- values ----------------------------------------------------------------------------------------


def far(prediction: Any) -> dict[str, float]:
    """Compute a metric."""
    found, wanted = prediction.predictions, prediction.label_ids
    return {"far": float(np.abs(found - wanted).max())}


@WAYS.way("metrics of the user's")
def metrics_of_the_users(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=far,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="far",
        greater_is_better=False,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.predict(Samples(4)))


@WAYS.way("metrics of the user's with names of ours")
def metrics_with_names_of_ours(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=lambda _: {"energy_kwh": 5.0, "emissions_kg": 7.0},
        eval_strategy="epoch",
        save_strategy="best",
        metric_for_best_model="energy_kwh",
        greater_is_better=True,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.predict(Samples(4)))


@WAYS.way("metrics of each batch")
def metrics_of_each_batch(place: Place) -> Any:
    def metrics(prediction: Any, compute_result: bool) -> dict[str, float]:
        return {"batch": float(prediction.predictions.max())} if compute_result else {}

    trainer = make(place, compute_metrics=metrics, batch_eval_metrics=True, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("metrics that count the metrics")
def metrics_that_count(place: Place) -> Any:
    counted: list[Any] = []
    count = At("on_evaluate", lambda metrics, **_: counted.append(sorted(metrics)), times=9)
    trainer = make(place, before=(count,), eval_strategy="epoch")
    output = trainer.train()
    return seen(place, trainer, output, counted, sorted(trainer.evaluate()))


@WAYS.way("metrics that another callback takes out")
def metrics_taken_out(place: Place) -> Any:
    take = At("on_evaluate", lambda metrics, **_: metrics.clear(), times=9)
    trainer = make(place, before=(take,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("logits preprocessed")
def logits_preprocessed(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=far,
        preprocess_logits_for_metrics=lambda logits, labels: logits * 0,
        eval_strategy="epoch",
    )
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("early stopping")
def early_stopping(place: Place) -> Any:
    stop = transformers.EarlyStoppingCallback(early_stopping_patience=1)
    trainer = make(
        place,
        after=(stop,),
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        num_train_epochs=6,
        learning_rate=3.0,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("early stopping ahead of ours")
def early_stopping_ahead(place: Place) -> Any:
    stop = transformers.EarlyStoppingCallback(early_stopping_patience=1)
    trainer = make(
        place,
        before=(stop,),
        eval_strategy="steps",
        eval_steps=2,
        metric_for_best_model="loss",
        num_train_epochs=3,
        learning_rate=3.0,
    )
    return seen(place, trainer, trainer.train())


def search(place: Place, **options: Any) -> Any:
    """Search for a learning rate; return the Trainer and what the search returned, or raised."""
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model_init = options.pop("model_init", lambda trial: Net())
    of_trainer = options.pop("of_trainer", {"eval_strategy": "epoch", "num_train_epochs": 2})
    trainer = make(place, model_init=model_init, watch=False, **of_trainer)
    seen_values: list[Any] = []

    def note(study: Any, trial: Any) -> None:
        values = [trial.number, trial.values, trial.state.name, trial.params]
        seen_values.append([*values, trial.intermediate_values])

    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=3))
    real = optuna.study.Study.optimize

    def optimize(study: Any, *args: Any, **kwargs: Any) -> Any:
        return real(study, *args, **{**kwargs, "callbacks": [note]})

    optuna.study.Study.optimize = optimize
    try:
        best = attempt(
            trainer.hyperparameter_search,
            hp_space=lambda trial: {"learning_rate": trial.suggest_float("rate", 0.01, 1.0)},
            n_trials=options.pop("n_trials", 3),
            direction="minimize",
            backend="optuna",
            **options,
        )
    finally:
        optuna.study.Study.optimize = real
    return trainer, [best, seen_values]


def searched(place: Place, trainer: Any, found: Any) -> Any:
    recorder = trainer.recorder
    note_logs(place, "hooks", recorder.events)
    return plain([found, recorder.metrics])


@WAYS.way("a search with the default objective")
def a_search_with_the_default_objective(place: Place) -> Any:
    return searched(place, *search(place))


@WAYS.way("a search by the default objective of metrics")
def a_search_with_metrics(place: Place) -> Any:
    options = {"compute_metrics": far, "eval_strategy": "epoch", "num_train_epochs": 1}
    return searched(place, *search(place, of_trainer=options))


@WAYS.way("a search with an objective of the user's")
def a_search_with_an_objective(place: Place) -> Any:
    return searched(place, *search(place, compute_objective=lambda metrics: metrics["eval_loss"]))


@WAYS.way("a search without evaluation in training")
def a_search_without_evaluation(place: Place) -> Any:
    return searched(place, *search(place, of_trainer={"num_train_epochs": 1}))


@WAYS.way("a search with names")
def a_search_with_names(place: Place) -> Any:
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 1}
    named = {"hp_name": lambda trial: f"trial {trial.number}", "of_trainer": options}
    return searched(place, *search(place, **named))


@WAYS.way("a search with pruning")
def a_search_with_pruning(place: Place) -> Any:
    optuna = place.need("optuna")

    class Pruning(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number == 1

    return searched(place, *search(place, pruner=Pruning()))


@WAYS.way("a search pruned by the median")
def a_search_pruned_by_the_median(place: Place) -> Any:
    optuna = place.need("optuna")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    options = {"eval_strategy": "epoch", "num_train_epochs": 3}
    return searched(place, *search(place, pruner=pruner, of_trainer=options, n_trials=4))


@WAYS.way("a search with trials that fail")
def a_search_with_trials_that_fail(place: Place) -> Any:
    def model_init(trial: Any) -> Any:
        return FailingNet(3, Boom("a trial")) if trial and trial.number == 1 else Net()

    return searched(place, *search(place, model_init=model_init, catch=(Boom,)))


@WAYS.way("a search that a failing trial ends")
def a_search_that_a_failing_trial_ends(place: Place) -> Any:
    def model_init(trial: Any) -> Any:
        return FailingNet(3, Boom("a trial")) if trial and trial.number == 1 else Net()

    return searched(place, *search(place, model_init=model_init))


@WAYS.way("trials of a study of the user's")
def trials_of_a_study(place: Place) -> Any:
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        trainer = make(
            place,
            ours=place.new_callbacks(),
            learning_rate=trial.suggest_float("rate", 0.01, 1.0),
            num_train_epochs=1,
        )
        trainer.train()
        return sum(value for key, value in trainer.evaluate().items() if timeless(key))

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(objective, n_trials=3)
    return [study.best_value, study.best_params, [one.value for one in study.trials]]


def timeless(key: str) -> bool:
    return not any(part in key for part in _TIMES)


@WAYS.way("several sets to evaluate")
def several_sets(place: Place) -> Any:
    trainer = make(
        place,
        eval_dataset={"one": Samples(4), "two": Samples(6)},
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model="one_loss",
        load_best_model_at_end=True,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.evaluate("two"))


@WAYS.way("the training set evaluated in a callback")
def the_training_set_evaluated(place: Place) -> Any:
    class Evaluate(TrainerCallback):
        trainer: Any = None

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            kept = copy.deepcopy(control)
            dataset = self.trainer.train_dataset
            self.trainer.evaluate(eval_dataset=dataset, metric_key_prefix="train")
            return kept

    evaluate = Evaluate()
    trainer = make(place, after=(evaluate,), eval_strategy="epoch")
    evaluate.trainer = trainer
    output = trainer.train()
    del evaluate.trainer
    return seen(place, trainer, output)


@WAYS.way("evaluations within a step")
def evaluations_within_a_step(place: Place) -> Any:
    found: list[Any] = []
    act = At("on_step_end", lambda **_: found.append(box[0].evaluate()), step=3, times=2)
    box = [make(place, before=(act,))]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("predictions within an epoch")
def predictions_within_an_epoch(place: Place) -> Any:
    found: list[Any] = []
    act = At("on_epoch_end", lambda **_: found.append(box[0].predict(Samples(4))), times=2)
    box = [make(place, after=(act,), eval_strategy="epoch")]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("an evaluation within an evaluation")
def an_evaluation_within_an_evaluation(place: Place) -> Any:
    found: list[Any] = []

    def again(**_: Any) -> None:
        found.append(box[0].evaluate(metric_key_prefix="again"))

    box = [make(place, after=(At("on_evaluate", again),), eval_strategy="epoch")]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("another training within a training")
def another_training_within(place: Place) -> Any:
    found: list[Any] = []

    def train_other(**_: Any) -> None:
        other = make(place, ours=place.new_callbacks(), max_steps=2)
        found.append(other.train())

    trainer = make(place, after=(At("on_epoch_end", train_other),))
    return seen(place, trainer, trainer.train(), found)


@WAYS.way("another training within a training with the same callback")
def another_training_within_with_the_same(place: Place) -> Any:
    found: list[Any] = []

    def train_other(**_: Any) -> None:
        found.append(make(place, max_steps=2).train())

    trainer = make(place, after=(At("on_epoch_end", train_other),))
    return seen(place, trainer, trainer.train(), found)


@WAYS.way("an evaluation before the training")
def an_evaluation_before(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, trainer.evaluate(), trainer.train())


@WAYS.way("an evaluation after the training")
def an_evaluation_after(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.evaluate(Samples(2)))


@WAYS.way("an evaluation alone")
def an_evaluation_alone(place: Place) -> Any:
    trainer = make(place, train_dataset=None)
    return seen(place, trainer, trainer.evaluate(), trainer.evaluate(metric_key_prefix="test"))


@WAYS.way("a prediction alone")
def a_prediction_alone(place: Place) -> Any:
    trainer = make(place, train_dataset=None, eval_dataset=None)
    return seen(
        place, trainer, trainer.predict(Samples(4)), trainer.predict(Samples(2), None, "own")
    )


@WAYS.way("a prediction without labels")
def a_prediction_without_labels(place: Place) -> Any:
    class Unlabelled(Samples):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"x": self.x[index]}

    trainer = make(place)
    return seen(place, trainer, trainer.train(), trainer.predict(Unlabelled(4)))


@WAYS.way("keys ignored in evaluations")
def keys_ignored(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train(ignore_keys_for_eval=["logits"])
    return seen(place, trainer, output, trainer.evaluate(None, ["logits"], "own"))


@WAYS.way("two trainings with one Trainer")
def two_trainings(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.train())


@WAYS.way("logs of the user's outside of a training")
def logs_outside(place: Place) -> Any:
    trainer = make(place)
    trainer.log({"before": 1.0})
    output = trainer.train()
    trainer.log({"after": 1.0})
    trainer.log({"eval_runtime": 1.0, "eval_loss": 2.0})
    return seen(place, trainer, output)


@WAYS.way("logs of the user's within a training")
def logs_within(place: Place) -> Any:
    def log(**_: Any) -> None:
        box[0].log({"own_runtime": 1.0, "own": 2.0})
        box[0].log({})

    box = [make(place, after=(At("on_step_end", log, step=3),))]
    output = box[0].train()
    return seen(place, box.pop(), output)


@WAYS.way("a history that another callback empties")
def a_history_emptied(place: Place) -> Any:
    empty = At("on_log", lambda state, **_: state.log_history.clear(), times=9)
    trainer = make(place, before=(empty,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("logs that another callback takes out")
def logs_taken_out(place: Place) -> Any:
    take = At("on_log", lambda logs, **_: logs.clear(), times=9)
    trainer = make(place, before=(take,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("the sum of the last log")
def the_metrics_saved(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    trainer.save_metrics("train", {k: v for k, v in output.metrics.items() if timeless(k)})
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", {k: v for k, v in metrics.items() if timeless(k)})
    return seen(place, trainer)


@WAYS.way("steps of arithmetic on the metrics")
def arithmetic_on_the_metrics(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    metrics = trainer.train().metrics
    found = trainer.evaluate()
    return seen(
        place,
        trainer,
        math.fsum(value for key, value in metrics.items() if timeless(key)),
        math.fsum(value for key, value in found.items() if timeless(key)),
    )


# --- one callback, several Trainers, copies --------------------------------------------------------


class Deep(Trainer):
    """Notes how deep the stack is in steps and evaluations."""

    def note(self) -> None:
        self.__dict__.setdefault("depths", []).append(len(inspect.stack(0)))

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return super().training_step(*args, **kwargs)

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return super().prediction_step(*args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> Any:
        self.note()


@WAYS.way("one callback in two Trainers by turns")
def one_callback_by_turns(place: Place) -> Any:
    trainers = [make(place, kind=Deep, max_steps=1, eval_dataset=Samples(2)) for _ in range(2)]
    for _ in range(25):
        for trainer in trainers:
            trainer.train()
    for trainer in trainers:
        trainer.evaluate()
        trainer.evaluate()
        trainer.create_model_card()
        trainer.create_model_card()
    growth = [[b - a for a, b in zip(t.depths, t.depths[1:])] for t in trainers]
    trained = [depths[:24] for depths in growth]
    evaluated = [[t.depths[26] - t.depths[25], t.depths[28] - t.depths[27]] for t in trainers]
    held = [len(of_others(trainer)) for trainer in trainers]
    return seen(place, trainers[0], trained, evaluated, held, weights_of(trainers[1].model))


@WAYS.way("one callback in two Trainers one after the other")
def one_callback_in_two(place: Place) -> Any:
    one = make(place, eval_strategy="epoch")
    first = one.train()
    other = make(place, eval_strategy="epoch")
    return seen(place, one, first, other.train(), one.evaluate(), other.evaluate())


@WAYS.way("one callback in many Trainers")
def one_callback_in_many(place: Place) -> Any:
    outputs = [make(place, max_steps=1).train() for _ in range(10)]
    return plain(outputs)


@WAYS.way("a Trainer made but never used")
def a_trainer_never_used(place: Place) -> Any:
    make(place)
    trainer = make(place)
    return seen(place, trainer, trainer.train())


@WAYS.way("a shallow copy trains its own model")
def a_shallow_copy(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    before = weights_of(trainer.model)
    other = copy.copy(trainer)
    other.model = other.model_wrapped = Net()
    other.optimizer = other.lr_scheduler = None
    output = other.train()
    after = weights_of(trainer.model)
    untouched = all(torch.equal(before[name], after[name]) for name in before)
    return seen(place, other, output, other.evaluate(), untouched, other.state.global_step)


@WAYS.way("a deep copy")
def a_deep_copy(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    other = copy.deepcopy(trainer)
    output = other.train()
    return seen(place, other, output, other.evaluate(), weights_of(trainer.model))


@WAYS.way("a deep copy after the training")
def a_deep_copy_after(place: Place) -> Any:
    trainer = make(place)
    trainer.train()
    other = attempt(copy.deepcopy, trainer)
    if isinstance(other, list):
        return seen(place, trainer, other)
    return seen(place, other, other.train(), weights_of(trainer.model))


@WAYS.way("a deep copy within the training")
def a_deep_copy_within(place: Place) -> Any:
    copies: list[Any] = []

    def copied(**_: Any) -> None:
        copies.append(copy.deepcopy(box[0].model))
        copies.append(copy.deepcopy(box[0].state))

    box = [make(place, after=(At("on_step_end", copied, step=3),))]
    output = box[0].train()
    return seen(place, box.pop(), output, weights_of(copies[0]), copies[1].global_step)


@WAYS.way("a pickled Trainer")
def a_pickled_trainer(place: Place) -> Any:
    trainer = make(place)
    found = attempt(pickle.dumps, trainer)
    kind = "bytes" if isinstance(found, bytes) else found[0]
    return seen(place, trainer, trainer.train(), kind)


@WAYS.way("a model pickled after the training")
def a_pickled_model(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    return seen(place, trainer, output, weights_of(pickle.loads(pickle.dumps(trainer.model))))


@WAYS.way("a Trainer deleted after its training")
def a_trainer_deleted(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    optimizer = trainer.optimizer
    place.watch(optimizer=optimizer)
    weights = weights_of(trainer.model)
    del trainer, optimizer
    return weights, plain([output])


@WAYS.way("a Trainer deleted before its training")
def a_trainer_deleted_before(place: Place) -> Any:
    make(place)
    return None


@WAYS.way("a Trainer deleted after an evaluation")
def a_trainer_deleted_after_an_evaluation(place: Place) -> Any:
    return plain(make(place).evaluate())


@WAYS.way("a model replaced after the training")
def a_model_replaced(place: Place) -> Any:
    trainer = make(place)
    first = trainer.train()
    trainer.model = trainer.model_wrapped = Net()
    trainer.optimizer = trainer.lr_scheduler = None
    return seen(place, trainer, first, trainer.train())


# --- methods taken in other ways -------------------------------------------------------------------


@WAYS.way("methods called through the class")
def methods_through_the_class(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, Trainer.train(trainer), Trainer.evaluate(trainer))


@WAYS.way("bound methods taken early")
def bound_methods_taken_early(place: Place) -> Any:
    trainer = make(place)
    train, evaluate = trainer.train, trainer.evaluate
    return seen(place, trainer, train(), evaluate(), train())


@WAYS.way("methods replaced on the instance")
def methods_replaced(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    trainer.evaluate = lambda *args, **kwargs: {"eval_loss": 1.0}
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("methods replaced on the instance around the training")
def methods_replaced_around(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    real, calls = trainer.evaluate, []

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(args))
        return real(*args, **kwargs)

    trainer.evaluate = evaluate
    first = trainer.train()
    del trainer.evaluate
    return seen(place, trainer, first, trainer.train(), trainer.evaluate(), calls)


@WAYS.way("methods replaced on the class later")
def methods_replaced_on_the_class(place: Place) -> Any:
    class Own(Trainer):
        pass

    trainer = make(place, kind=Own, eval_strategy="epoch")
    Own.evaluate = lambda self, *args, **kwargs: {"eval_loss": 1.0}
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("signatures of the methods")
def signatures(place: Place) -> Any:
    trainer = make(place)
    names = ("train", "evaluate", "predict", "create_model_card", "log")
    shapes = {name: str(inspect.signature(getattr(trainer, name))) for name in names}
    return seen(
        place, trainer, trainer.train(), shapes, [getattr(trainer, n).__name__ for n in names]
    )


@WAYS.way("wrong arguments of the methods")
def wrong_arguments(place: Place) -> Any:
    trainer = make(place)
    wrong = [
        attempt(trainer.train, unknown=1),
        attempt(trainer.evaluate, 1, 2, 3, 4, 5),
        attempt(trainer.predict),
        attempt(trainer.train, resume_from_checkpoint=True),
    ]
    return seen(place, trainer, wrong, trainer.train())


# --- added and removed -----------------------------------------------------------------------------


def removed(trainer: Any, place: Place, how: str, by: str) -> list[Any]:
    """Take our callbacks out; return whether those that came back were ours."""
    method = getattr(trainer, f"{how}_callback")
    results = [method(type(one) if by == "class" else one) for one in place.callbacks]
    if how == "pop":
        assert results == place.callbacks
    return results


def _register_removals(how: str, by: str) -> None:
    @WAYS.way(f"{how} by {by} before the training")
    def before(place: Place) -> Any:
        trainer = make(place, eval_strategy="epoch")
        removed(trainer, place, how, by)
        runs = runs_of_ours()
        results = [trainer.train(), trainer.evaluate(), trainer.predict(Samples(4))]
        return seen(place, trainer, results, runs_of_ours() - runs)

    @WAYS.way(f"{how} by {by} after the training")
    def after(place: Place) -> Any:
        trainer = make(place, eval_strategy="epoch")
        first = trainer.train()
        removed(trainer, place, how, by)
        runs = runs_of_ours()
        results = [trainer.evaluate(), trainer.predict(Samples(4)), trainer.train()]
        return seen(place, trainer, first, results, runs_of_ours() - runs)

    @WAYS.way(f"{how} by {by} within the training")
    def within(place: Place) -> Any:
        class Own(Trainer):
            def training_step(self, *args: Any, **kwargs: Any) -> Any:
                if self.state.global_step == 3 and not self.__dict__.get("done"):
                    self.done = True
                    removed(self, place, how, by)
                return super().training_step(*args, **kwargs)

        trainer = make(place, kind=Own, eval_strategy="epoch")
        first = trainer.train()
        runs = runs_of_ours()
        results = [trainer.evaluate(), trainer.predict(Samples(4)), trainer.train()]
        return seen(place, trainer, first, results, runs_of_ours() - runs)


for _how in ("remove", "pop"):
    for _by in ("class", "instance"):
        _register_removals(_how, _by)


@WAYS.way("removed and freed")
def removed_and_freed(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    removed(trainer, place, "remove", "instance")
    return seen(place, trainer, output)


@WAYS.way("removed from one Trainer, kept in another")
def removed_from_one(place: Place) -> Any:
    one, other = make(place), make(place)
    removed(one, place, "remove", "instance")
    return seen(place, one, one.train(), other.train(), one.evaluate(), other.evaluate())


@WAYS.way("added later")
def added_later(place: Place) -> Any:
    trainer = make(place, ours=[], eval_strategy="epoch")
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("added between two trainings")
def added_between(place: Place) -> Any:
    trainer = make(place, ours=[], eval_strategy="epoch")
    first = trainer.train()
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, first, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("added later and a training that fails")
def added_later_and_fails(place: Place) -> Any:
    trainer = make(place, ours=[], model=FailingNet(3, Boom("in a step")))
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, attempt(trainer.train), trainer.train())


@WAYS.way("added within a training")
def added_within(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 3:
                for callback in place.callbacks:
                    if callback not in self.callback_handler.callbacks:
                        self.add_callback(callback)
            return super().training_step(*args, **kwargs)

    trainer = make(place, ours=[], kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the class instead of an instance")
def the_class_instead(place: Place) -> Any:
    trainer = make(place, ours=[type(one) for one in place.callbacks], eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the class added later")
def the_class_added_later(place: Place) -> Any:
    trainer = make(place, ours=[])
    for callback in place.callbacks:
        trainer.add_callback(type(callback))
    return seen(place, trainer, trainer.train())


@WAYS.way("two of the same class")
def two_of_the_same_class(place: Place) -> Any:
    ours = [*place.callbacks, *place.new_callbacks()]
    trainer = make(place, ours=ours, eval_strategy="epoch", save_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the same instance twice")
def the_same_instance_twice(place: Place) -> Any:
    trainer = make(place, ours=[*place.callbacks, *place.callbacks], eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("a handler's list that another callback changes")
def a_list_changed_by_others(place: Place) -> Any:
    class Once(TrainerCallback):
        trainer: Any = None

        def on_train_end(self, *args: Any, **_: Any) -> None:
            self.trainer.remove_callback(self)

    once = Once()
    trainer = make(place, before=(once,))
    once.trainer = trainer
    output = trainer.train()
    del once.trainer
    return seen(place, trainer, output, trainer.train())


# --- checkpoints and resuming ----------------------------------------------------------------------


def resume(place: Place, *, first: dict[str, Any] | None = None, **options: Any) -> Any:
    """Train until another callback stops it, then resume with a Trainer of its own."""
    how = options.pop("how", True)
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2, **options}
    others = options.pop("others", lambda: ())
    stop = At("on_step_end", flagging(should_training_stop=True), step=5)
    one = make(place, after=(*others(), stop), **{**options, **(first or {})})
    before = one.train()
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    path = checkpoints(place)[-1]
    # The second process's torch.load warns of nothing, and the first one's Trainer is gone.
    other = make(place, after=others(), ours=place.new_callbacks(), **options)
    after = other.train(resume_from_checkpoint=str(path) if how == "path" else how)
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    return seen(place, other, before, after)


@WAYS.way("resumed from the last checkpoint")
def resumed(place: Place) -> Any:
    return resume(place)


@WAYS.way("resumed from a path")
def resumed_from_a_path(place: Place) -> Any:
    return resume(place, how="path", eval_strategy="steps", eval_steps=2)


@WAYS.way("resumed without skipping data")
def resumed_without_skipping(place: Place) -> Any:
    return resume(place, ignore_data_skip=True)


@WAYS.way("resumed with the callbacks' states restored")
def resumed_with_states(place: Place) -> Any:
    options = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    return resume(
        place,
        restore_callback_states_from_checkpoint=True,
        others=lambda: (transformers.EarlyStoppingCallback(3),),
        **options,
    )


class Warned(TrainerCallback):
    """Nothing; its Trainer's log is read."""


@WAYS.way("what is logged when states are restored")
def what_is_logged_when_restored(place: Place) -> Any:
    import logging

    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    keep = Keep(logging.WARNING)
    logger = logging.getLogger("transformers.trainer")
    logger.addHandler(keep)
    try:
        found = resume(place, restore_callback_states_from_checkpoint=True)
    finally:
        logger.removeHandler(keep)
    return found, [text for text in records if "allback" in text]


@WAYS.way("resumed after an exception")
def resumed_after_an_exception(place: Place) -> Any:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    one = make(place, model=FailingNet(6, Boom("in a step")), **options)
    failed = attempt(one.train)
    other = make(place, ours=place.new_callbacks(), **options)
    output = other.train(resume_from_checkpoint=True)
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, other, failed, output)


@WAYS.way("resumed by the same Trainer after an exception")
def resumed_by_the_same(place: Place) -> Any:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    trainer = make(place, model=FailingNet(6, Boom("in a step")), **options)
    failed = attempt(trainer.train)
    output = trainer.train(resume_from_checkpoint=True)
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, trainer, failed, output)


@WAYS.way("a finished training resumed")
def a_finished_training_resumed(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(place, ours=place.new_callbacks(), save_strategy="epoch")
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed with more epochs")
def resumed_with_more_epochs(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(place, ours=place.new_callbacks(), save_strategy="epoch", num_train_epochs=3)
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed without the callback")
def resumed_without_the_callback(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(
        place,
        ours=[],
        save_strategy="epoch",
        num_train_epochs=3,
    )
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed with a callback that the checkpoint lacks")
def resumed_with_a_new_callback(place: Place) -> Any:
    first = make(place, ours=[], save_strategy="epoch").train()
    trainer = make(place, save_strategy="epoch", num_train_epochs=3)
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("a checkpoint asked for by a callback ahead of ours")
def a_checkpoint_asked_for_before(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_save=True), step=3)
    trainer = make(place, before=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for by a callback behind ours")
def a_checkpoint_asked_for_after(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_save=True), step=3)
    trainer = make(place, after=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for at an epoch's end")
def a_checkpoint_asked_for_at_the_end(place: Place) -> Any:
    ask = At("on_epoch_end", flagging(should_save=True))
    trainer = make(place, after=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for by an evaluation")
def a_checkpoint_asked_for_by_an_evaluation(place: Place) -> Any:
    ask = At("on_evaluate", flagging(should_save=True))
    trainer = make(place, after=(ask,), eval_strategy="epoch")
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("the best checkpoint has our segment")
def the_best_checkpoint(place: Place) -> Any:
    trainer = make(
        place,
        save_strategy="best",
        eval_strategy="steps",
        eval_steps=2,
        metric_for_best_model="loss",
        greater_is_better=False,
    )
    output = trainer.train()
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    return seen(place, trainer, output, len(checkpoints(place)))


@WAYS.way("a checkpoint just in time")
def a_checkpoint_just_in_time(place: Place) -> Any:
    needs("enable_jit_checkpoint")
    before = signal.getsignal(signal.SIGTERM)

    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 2 and not self.__dict__.get("asked"):
                self.asked = True
                for one in self.callback_handler.callbacks:
                    if manager := getattr(one, "jit_manager", None):
                        manager.kill_wait = 0
                os.kill(os.getpid(), signal.SIGTERM)
                for thread in threading.enumerate():
                    if isinstance(thread, threading.Timer):
                        thread.join()
            return super().training_step(*args, **kwargs)

    try:
        trainer = make(place, kind=Own, enable_jit_checkpoint=True)
        output = trainer.train()
        restored = signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGTERM, before)
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    other = make(place, ours=place.new_callbacks())
    return seen(place, trainer, output, restored, other.train(resume_from_checkpoint=True))


@WAYS.way("state and model saved")
def state_and_model_saved(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    trainer.save_state()
    trainer.save_model(str(place.path / "model"))
    return seen(place, trainer, output)


@WAYS.way("a model saved by a callback")
def a_model_saved_by_a_callback(place: Place) -> Any:
    def save(**_: Any) -> None:
        box[0].save_model(str(place.path / "model"))
        box[0].save_state()

    box = [make(place, after=(At("on_epoch_end", save),))]
    output = box[0].train()
    return seen(place, box.pop(), output)


@WAYS.way("a model card")
def a_model_card(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    returned = trainer.create_model_card(model_name="tiny", tags=["one"], dataset="numbers")
    if place.measured:
        assert "co2_eq_emissions" in (place.path / "trainer" / "README.md").read_text()
    return seen(place, trainer, output, returned)


@WAYS.way("a model card before the training")
def a_model_card_before(place: Place) -> Any:
    trainer = make(place)
    Path(trainer.args.output_dir).mkdir(exist_ok=True)
    trainer.create_model_card(model_name="tiny")
    return seen(place, trainer, (place.path / "trainer" / "README.md").read_text())


@WAYS.way("a model card into a directory that is not there")
def a_model_card_nowhere(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    shutil.rmtree(trainer.args.output_dir, ignore_errors=True)
    found = attempt(trainer.create_model_card)
    return seen(place, trainer, output, found[0] if isinstance(found, list) else found)


@WAYS.way("trackers ended")
def trackers_ended(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    if hasattr(trainer, "end"):
        trainer.end()
    return seen(place, trainer, output, trainer.evaluate())


# --- reporters and other callbacks -----------------------------------------------------------------


@WAYS.way("TensorBoard")
def tensorboard(place: Place) -> Any:
    place.need("tensorboard")
    trainer = make(place, report_to=["tensorboard"], eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a notebook's table")
def a_notebooks_table(place: Place) -> Any:
    place.need("IPython")
    from transformers.utils.notebook import NotebookProgressCallback

    tables: list[Any] = []
    notebook = NotebookProgressCallback()

    class Read(TrainerCallback):
        def on_train_end(self, *_: Any, **__: Any) -> None:
            tables.append(copy.deepcopy(notebook.training_tracker.inner_table))

    with contextlib.redirect_stdout(io.StringIO()):
        trainer = make(place, before=(Read(), notebook), eval_strategy="epoch")
        output = trainer.train()
    (header, *rows) = tables[0]
    assert len(set(header)) == len(header)
    return seen(place, trainer, output, header, rows)


@WAYS.way("a notebook's table of steps")
def a_notebooks_table_of_steps(place: Place) -> Any:
    place.need("IPython")
    from transformers.utils.notebook import NotebookProgressCallback

    tables: list[Any] = []
    notebook = NotebookProgressCallback()

    class Read(TrainerCallback):
        def on_train_end(self, *_: Any, **__: Any) -> None:
            tables.append(copy.deepcopy(notebook.training_tracker.inner_table))

    with contextlib.redirect_stdout(io.StringIO()):
        trainer = make(place, before=(Read(), notebook), logging_strategy="steps", logging_steps=3)
        output = trainer.train()
    return seen(place, trainer, output, tables)


def printed(text: str) -> list[dict[str, Any]]:
    """Return the dictionaries that were printed, one a line."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return [ast.literal_eval(line) for line in lines]


@WAYS.way("a printer")
def a_printer(place: Place) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        trainer = make(place, before=(transformers.PrinterCallback(),), eval_strategy="epoch")
        output = trainer.train()
    note_logs(place, "printed", printed(out.getvalue()))
    return seen(place, trainer, output, len(out.getvalue().splitlines()))


@WAYS.way("a bar of progress with its lines")
def a_bar_of_progress(place: Place) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        trainer = make(place, disable_tqdm=False, eval_strategy="epoch", logging_steps=1)
        output = trainer.train()
        trainer.evaluate()
    return seen(place, trainer, output, len(printed(out.getvalue())))


@WAYS.way("callbacks before and after ours")
def callbacks_around(place: Place) -> Any:
    first, last = Recorder(), Recorder()
    trainer = make(place, before=(first,), after=(last,), eval_strategy="epoch")
    output = trainer.train()
    hooks = [[event["hook"] for event in one.events] for one in (first, last)]
    return seen(place, trainer, output, hooks, first.metrics, last.metrics)


@WAYS.way("a callback that compares itself to all")
def a_callback_with_an_odd_equality(place: Place) -> Any:
    class Odd(TrainerCallback):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    trainer = make(place, before=(Odd(),), after=(Odd(),), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a callback that keeps every log")
def a_callback_that_keeps_every_log(place: Place) -> Any:
    kept: list[Any] = []
    keep = At("on_log", lambda logs, **_: kept.append(logs), times=99)
    trainer = make(place, before=(keep,), eval_strategy="epoch", logging_strategy="steps")
    output = trainer.train()
    note_logs(place, "kept", kept)
    return seen(place, trainer, output)


# --- failures --------------------------------------------------------------------------------------

_ERRORS: dict[str, Any] = {
    "an exception": lambda: Boom("in a step"),
    "an interrupt": lambda: KeyboardInterrupt(),
    "an exit": lambda: SystemExit(3),
    "a stop of an iteration": lambda: StopIteration("odd"),
}


def _register_failures(name: str, error: Any) -> None:
    @WAYS.way(f"{name} in the forward pass")
    def in_forward(place: Place) -> Any:
        trainer = make(place, model=FailingNet(4, error()), eval_strategy="epoch")
        failed = attempt(trainer.train)
        threads = sorted(type(one).__name__ for one in threading.enumerate())
        return seen(place, trainer, failed, len(threads), trainer.evaluate(), trainer.train())

    @WAYS.way(f"{name} in the data")
    def in_data(place: Place) -> Any:
        trainer = make(place, train_dataset=FailsAt(7, error()))
        return seen(place, trainer, attempt(trainer.train), trainer.train())

    @WAYS.way(f"{name} in an evaluation within the training")
    def in_evaluation(place: Place) -> Any:
        model = FailingNet(2, error(), training=False)
        trainer = make(place, model=model, eval_strategy="epoch")
        return seen(place, trainer, attempt(trainer.train), trainer.evaluate())

    @WAYS.way(f"{name} in an evaluation alone")
    def in_evaluation_alone(place: Place) -> Any:
        trainer = make(place, model=FailingNet(1, error(), training=False))
        failed = attempt(trainer.evaluate)
        return seen(place, trainer, failed, attempt(trainer.predict, Samples(4)), trainer.train())


for _name, _error in _ERRORS.items():
    _register_failures(_name, _error)


def _register_hook_failures(hook: str) -> None:
    @WAYS.way(f"another callback raises in {hook}")
    def in_hook(place: Place) -> Any:
        options = {"eval_strategy": "epoch", "save_strategy": "epoch"}
        trainer = make(place, after=(At(hook, raising(Boom(hook))),), **options)
        return seen(place, trainer, attempt(trainer.train), attempt(trainer.train))


for _hook in (
    "on_train_begin",
    "on_epoch_begin",
    "on_step_end",
    "on_log",
    "on_evaluate",
    "on_save",
    "on_epoch_end",
    "on_train_end",
):
    _register_hook_failures(_hook)


@WAYS.way("another callback ahead of ours raises at the end")
def another_callback_raises_at_the_end(place: Place) -> Any:
    trainer = make(place, before=(At("on_train_end", raising(Boom("end"))),))
    return seen(place, trainer, attempt(trainer.train), trainer.train())


@WAYS.way("another callback raises when the Trainer is made")
def another_callback_raises_at_once(place: Place) -> Any:
    failed = attempt(make, place, after=(At("on_init_end", raising(Boom("made"))),))
    trainer = make(place)
    return seen(place, trainer, failed, trainer.train())


@WAYS.way("an exception that leaves the way")
def an_exception_that_leaves(place: Place) -> Any:
    trainer = make(place, model=FailingNet(4, place.error))
    try:
        return trainer.train()
    finally:
        seen(place, trainer)


@WAYS.way("an exception with its notes and cause")
def an_exception_with_its_cause(place: Place) -> Any:
    error = Boom("in a step")
    error.__cause__ = ValueError("why")
    trainer = make(place, model=FailingNet(4, error))
    try:
        trainer.train()
    except Boom as caught:
        same = caught is error
        context = [str(caught.__cause__), repr(caught.__context__)]
        context.append(getattr(caught, "__notes__", None))
        caught.__traceback__ = None
    return seen(place, trainer, same, context)


@WAYS.way("metrics that raise")
def metrics_that_raise(place: Place) -> Any:
    def metrics(_: Any) -> Any:
        raise Boom("metrics")

    trainer = make(place, compute_metrics=metrics, eval_strategy="epoch")
    return seen(place, trainer, attempt(trainer.train), attempt(trainer.evaluate))


@WAYS.way("a smaller batch after too little memory")
def a_smaller_batch(place: Place) -> Any:
    class Large(Net):
        def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
            if len(x) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
            return super().forward(x, labels)

    trainer = make(
        place,
        model=Large(),
        auto_find_batch_size=True,
        per_device_train_batch_size=8,
        save_strategy="epoch",
    )
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, trainer, output, trainer._train_batch_size)


@WAYS.way("a loss that is not a number")
def a_loss_that_is_not_a_number(place: Place) -> Any:
    class Nan(Net):
        def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
            found = super().forward(x, labels)
            return {**found, "loss": found["loss"] * float("nan")}

    trainer = make(place, model=Nan(), max_steps=3)
    trainer.train()
    return trainer.state.global_step, str(trainer.state.log_history[0]["loss"])


@WAYS.way("no data at all")
def no_data_at_all(place: Place) -> Any:
    trainer = make(place, train_dataset=None, eval_dataset=None)
    return seen(place, trainer, attempt(trainer.train), attempt(trainer.evaluate))


# --- surroundings ----------------------------------------------------------------------------------


@WAYS.way("without gradients")
def without_gradients(place: Place) -> Any:
    trainer = make(place)
    with torch.no_grad():
        failed = attempt(trainer.train)
        metrics = trainer.evaluate()
    return seen(place, trainer, failed[0] if isinstance(failed, list) else failed, metrics)


@WAYS.way("an evaluation in inference mode")
def in_inference_mode(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    with torch.inference_mode():
        metrics = trainer.evaluate()
    return seen(place, trainer, output, metrics)


@WAYS.way("in a thread of its own")
def in_a_thread(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(attempt(trainer.train)))
    thread.start()
    thread.join()
    return seen(place, trainer, found, trainer.evaluate())


@WAYS.way("two Trainers in two threads with a callback each")
def in_two_threads(place: Place) -> Any:
    # One after the other: torch's random numbers are the process's.
    trainers = [make(place, ours=place.new_callbacks()) for _ in range(2)]
    results: list[Any] = []
    for trainer in trainers:
        torch.manual_seed(7)
        thread = threading.Thread(target=lambda one=trainer: results.append(attempt(one.train)))
        thread.start()
        thread.join()
    return seen(place, trainers[1], results, weights_of(trainers[0].model))


@WAYS.way("in an event loop")
def in_an_event_loop(place: Place) -> Any:
    import asyncio

    trainer = make(place, eval_strategy="epoch")

    async def run() -> Any:
        return trainer.train(), trainer.evaluate()

    return seen(place, trainer, asyncio.run(run()))


@WAYS.way("with a seed of the user's in between")
def with_a_seed_in_between(place: Place) -> Any:
    trainer = make(place)
    transformers.set_seed(3)
    drawn = torch.rand(1).item(), np.random.rand()
    output = trainer.train()
    return seen(place, trainer, drawn, output, torch.rand(1).item(), np.random.rand())


@WAYS.way("in another directory")
def in_another_directory(place: Place) -> Any:
    trainer = make(place)
    other = place.path / "other"
    other.mkdir()
    before = Path.cwd()
    os.chdir(other)
    try:
        output = trainer.train()
        here = Path.cwd().name
    finally:
        os.chdir(before)
    return seen(place, trainer, output, here)


@WAYS.way("warnings as errors")
def warnings_as_errors(place: Place) -> Any:
    import warnings

    trainer = make(place, eval_strategy="epoch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = attempt(trainer.train)
    return seen(place, trainer, output)


@WAYS.way("a stack that is nearly full")
def a_stack_that_is_nearly_full(place: Place) -> Any:
    trainer = make(place)

    def deep(levels: int) -> Any:
        return deep(levels - 1) if levels else trainer.train()

    return seen(place, trainer, deep(400))
