"""Train by the line of code that the documentation shows, with the callback and without it.

A test gives `Works` a function that trains a tiny model and returns a `Trained`. The line of the table
(`works_in.libraries`) is run as it is printed, except that the trainings without the callback get an
empty list for ``[EmissionsCallback()]``.

Time passes with the work only: a second for each step of a torch optimizer, a hundredth for each module
that is called without gradients, at 100 W.
"""

import gc
import importlib
import logging
import os
import random
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upstream.plain import entries_of_csv, flat

from carbon_callbacks.testing import Machine, process_state, receipts, threads_of_ours
from carbon_callbacks.testing.framework import JOULES_PER_KWH, WATTS, generators

STEP_S = 1.0
CALL_S = 0.01
CALLBACK = "EmissionsCallback()"
SEED = 7
# Metrics that differ between two trainings without the callback.
_TIMES = re.compile(r"time|second|secs|_mem_|date")
_OURS = re.compile(r"(^|[/_])carbon[/_]")
_OUR_FILES = ("carbon_runs", "emissions.csv")
# Times and numbers of processes in names of files.
_CHANGING = re.compile(r"(?<=tfevents).*|\d{3,}|[0-9a-f]{8,}")


class Line:
    """The line of code of a library.

    Attributes:
        text: As it is shown.
        made: The callbacks that it made.

    Args:
        text: As above.
        callback: The class of the callback.
        measured: Whether to run it with the callback.
    """

    def __init__(self, text: str, callback: Any, *, measured: bool) -> None:
        self.text, self._callback, self._measured = text, callback, measured
        self.made: list[Any] = []

    def run(self, **names: Any) -> Any:
        """Run it with some names; return its value."""
        text = self.text if self._measured else self.text.replace(CALLBACK, "")
        return eval(text, {**names, "EmissionsCallback": self._make})

    def _make(self) -> Any:
        self.made.append(self._callback())
        return self.made[-1]


@dataclass
class Trained:
    """A finished training.

    Attributes:
        model: The trained model: a torch module, a Keras model, or arrays by name.
        log: The entries of the framework's log.
        again: Removes the callback and trains again; None where the library hides its trainer.
    """

    model: Any
    log: list[Mapping[str, Any]] = field(default_factory=list)
    again: Callable[[], object] | None = None


@dataclass
class Work:
    """The work that the machine did.

    Attributes:
        steps: Steps of optimizers.
        seconds: The time that passed with it.
    """

    machine: Machine
    steps: int = 0
    seconds: float = 0.0

    def step(self, *_: Any) -> None:
        """Note a step of an optimizer."""
        self.steps += 1
        self.take(STEP_S)

    def call(self, *_: Any) -> None:
        """Note that a module is called."""
        import torch

        if not torch.is_grad_enabled():
            self.take(CALL_S)

    def take(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.machine.clock.advance(seconds)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the steps of optimizers, and the calls of modules for an evaluation."""
        from torch.nn.modules.module import register_module_forward_pre_hook
        from torch.optim.optimizer import register_optimizer_step_post_hook

        handles = [
            register_optimizer_step_post_hook(self.step),
            register_module_forward_pre_hook(self.call),
        ]
        with pytest.MonkeyPatch.context() as patch:
            if keras := sys.modules.get("keras"):
                self._note_before(patch, keras.optimizers.Optimizer, "apply", self.step)
                self._note_before(patch, keras.Model, "test_step", lambda: self.take(CALL_S))
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def _note_before(self, patch: Any, owner: Any, name: str, note: Callable[[], None]) -> None:
        """Have a method of Keras, which has no hooks for all models, note that it is called."""
        original = getattr(owner, name)

        def noting(*args: Any, **kwargs: Any) -> Any:
            note()
            return original(*args, **kwargs)

        patch.setattr(owner, name, noting)


@dataclass
class Seen:
    """What a training left behind.

    Attributes:
        weights: A digest of each array of the model.
        log: The framework's log without our metrics.
        ours: Our metrics in each entry of the log.
        random: State of the random generators.
        receipts: Our receipts.
        files: Names of the files that are not ours.
        steps: Steps of optimizers.
        seconds: The time that passed.
        freed: Whether the model is freed.
    """

    weights: dict[str, str]
    log: list[dict[str, str]]
    ours: list[dict[str, float]]
    random: tuple[Any, ...]
    receipts: list[Any]
    files: list[str]
    steps: int
    seconds: float
    freed: bool = False


class Works:
    """Checks that a library's line of code measures a training and changes nothing in it.

    Args:
        text: The line.
        framework: The module of this package that it takes the callback from.
        machine: The machine that runs measure.
    """

    def __init__(self, text: str, framework: str, machine: Machine) -> None:
        self._text, self._machine = text, machine
        self._callback = importlib.import_module(f"carbon_callbacks.{framework}").EmissionsCallback
        self.work = Work(machine)

    def check(
        self,
        train: Callable[[Line], Trained],
        *,
        phases: tuple[str, ...] = ("train",),
        runs: int = 1,
        samples: int | None = None,
        tokens: bool = False,
    ) -> list[Any]:
        """Train with the callback, and before and after without it; return the receipts.

        Args:
            train: Trains a new model with the line.
            phases: Phases that must have used energy.
            runs: How many runs there must be.
            samples: How many samples were trained with; None if their number must not be logged.
            tokens: Whether tokens per kWh must be logged, by the library's own count.
        """
        bare = self._train(train, "bare", measured=False)
        before = process_state()
        with warnings_of_ours() as warnings:
            seen = self._train(train, "measured", measured=True)
        assert process_state() == before
        assert not threads_of_ours()
        assert not warnings
        self._check_same(seen, bare)
        self._check_runs(seen, runs, phases)
        self._check_work(seen, samples, tokens=tokens)
        after = self._train(train, "after", measured=False)
        self._check_same(after, bare)
        # What a library imports in its first training may draw numbers.
        assert seen.random in (bare.random, after.random)
        assert not after.receipts
        assert not any(after.ours)
        return seen.receipts

    def _train(self, train: Callable[[Line], Trained], name: str, *, measured: bool) -> Seen:
        """Train in an empty directory of this name."""
        Path(name).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(name)
            seed_everything()
            line = Line(self._text, self._callback, measured=measured)
            self.work.steps, self.work.seconds = 0, 0.0
            with self.work.noted():
                trained = train(line)
                seen = self._seen(trained)
                assert bool(line.made) is measured
                if trained.again is not None:
                    trained.again()
                    # The model that went on without the callback is compared, too.
                    seen.weights |= {f"again {k}": v for k, v in weights_of(trained.model).items()}
            assert len(receipts()) == len(seen.receipts), "measured after it was removed"
            model = weakref.ref(trained.model)
            # Lightning ties the model to each callback.
            del trained, line
            gc.collect()
            seen.freed = model() is None
        return seen

    def _seen(self, trained: Trained) -> Seen:
        log = [dict(entry) for entry in trained.log]
        ours = [{k: float(v) for k, v in entry.items() if _OURS.search(k)} for entry in log]
        # An entry may have been made for our metrics.
        kept = [
            {k: v for k, v in entry.items() if not _OURS.search(k)}
            for entry, added in zip(log, ours)
            if not added or entry.keys() - added.keys() - {"epoch", "step"}
        ]
        others = [
            {k: "a time" if _TIMES.search(k) else str(v) for k, v in entry.items()}
            for entry in kept
        ]
        return Seen(
            weights_of(trained.model),
            others,
            ours,
            generators(),
            receipts(),
            files_of_others(),
            self.work.steps,
            self.work.seconds,
        )

    def _check_same(self, seen: Seen, bare: Seen) -> None:
        assert bare.weights
        assert bare.steps > 0
        assert seen.weights == bare.weights
        assert seen.steps == bare.steps
        assert seen.log == bare.log
        assert seen.files == bare.files
        assert seen.freed >= bare.freed, "the model stays alive"

    def _check_runs(self, seen: Seen, runs: int, phases: tuple[str, ...]) -> None:
        assert [one["status"] for one in seen.receipts] == ["completed"] * runs
        kwh = [one["energy_kwh"]["value"] for one in seen.receipts]
        joules = sum(kwh) * JOULES_PER_KWH
        assert seen.steps * STEP_S * WATTS <= joules * 1.000001, "a step was not measured"
        assert joules <= seen.seconds * WATTS * 1.000001, "energy was counted twice"
        parts: dict[str, float] = {}
        for phase in [one for receipt in seen.receipts for one in receipt["phases"]]:
            parts[phase["name"]] = parts.get(phase["name"], 0.0) + phase["joules"]
        assert sum(parts.values()) == pytest.approx(joules)
        assert {name for name, value in parts.items() if value > 0} >= set(phases), parts
        logged = values_of(seen.ours, "energy_kwh")
        assert logged, "no energy in the framework's log"
        assert max(kwh) / 2 < max(logged) <= max(kwh) * 1.000001

    def _check_work(self, seen: Seen, samples: int | None, *, tokens: bool) -> None:
        """Check the metrics of the work done, by the last entry that has them."""
        per_kwh = values_of(seen.ours, "samples_per_kwh")
        assert bool(per_kwh) is (samples is not None), per_kwh
        if samples is not None:
            assert per_kwh[-1] * values_of(seen.ours, "energy_kwh")[-1] == pytest.approx(samples)
        per_kwh = values_of(seen.ours, "tokens_per_kwh")
        assert bool(per_kwh) is tokens, per_kwh
        if tokens:
            counted = [float(entry["num_tokens"]) for entry in seen.log if "num_tokens" in entry]
            energy = values_of(seen.ours, "energy_kwh")[-1]
            assert per_kwh[-1] * energy == pytest.approx(counted[-1])


def values_of(ours: list[dict[str, float]], metric: str) -> list[float]:
    """Return the values of one of our metrics in the training's entries of a log."""
    names = f"carbon_{metric}", f"carbon/{metric}"
    return [entry[name] for entry in ours for name in names if name in entry]


def files_of_others() -> list[str]:
    """Return the names of the files below the working directory that are not ours."""
    paths = [path for path in Path().rglob("*") if path.is_file()]
    names = [str(path) for path in paths if not any(one in path.parts for one in _OUR_FILES)]
    return sorted(_CHANGING.sub("N", name) for name in names)


@contextmanager
def warnings_of_ours() -> Iterator[list[str]]:
    """Yield a list to which the warnings of this package are added."""
    found: list[str] = []

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Records(logging.WARNING)
    logger = logging.getLogger("carbon_callbacks")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def weights_of(model: Any) -> dict[str, str]:
    """Return a digest of each array of a model, by name."""
    if hasattr(model, "get_weights"):  # of Keras, whose names have running numbers
        arrays = dict(enumerate(model.get_weights()))
    elif hasattr(model, "state_dict"):
        arrays = dict(model.state_dict())
    else:
        arrays = dict(model)
    return dict(flat(arrays))


def seed_everything() -> None:
    """Give every random generator the same state."""
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def csv_log() -> list[Mapping[str, Any]]:
    """Return the entries of Lightning's CSV logger below the working directory."""
    paths = sorted(Path().rglob("metrics.csv"), key=os.fspath)
    return [{**row, "step": step} for path in paths for row, step in entries_of_csv(path)]


def tensorboard_log() -> list[Mapping[str, Any]]:
    """Return the scalars of TensorBoard's files, without the epoch, which our entries have, too."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    events = [
        event
        for path in sorted(Path().rglob("events.out.tfevents*"))
        for event in LegacyEventFileLoader(str(path)).Load()
    ]
    return [
        {value.tag: value.simple_value, "step": event.step}
        for event in events
        for value in event.summary.value
        if value.HasField("simple_value") and value.tag != "epoch"
    ]
