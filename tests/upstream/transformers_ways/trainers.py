"""A tiny model, a Trainer, the table of the ways to use it, and what is compared of them.

Every trainer has a `Recorder` as its last callback, so that each way also compares the order of the
hooks, the control flags and the metrics that other callbacks get.
"""

import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
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
                # TensorBoard's callback turns `eval_runtime` into `eval/runtime`.
                key = value.tag.replace("/", "_")
                yield value.tag, plain(value.simple_value, key), event.step


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


OF_TRAINER = frozenset(inspect.signature(Trainer.__init__).parameters)


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
    given = {name: options.pop(name) for name in list(options) if name in OF_TRAINER}
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


def timeless(key: str) -> bool:
    return not any(part in key for part in _TIMES)


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


def far(prediction: Any) -> dict[str, float]:
    """Compute a metric."""
    found, wanted = prediction.predictions, prediction.label_ids
    return {"far": float(np.abs(found - wanted).max())}
