"""A framework, made small: what an adapter's tests provide."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from carbon_callbacks._training.training import Training

EPOCHS = 2
TRAIN_BATCHES = 4
VALIDATE_BATCHES = 2
TRAIN_BATCH_S = 1.0
VALIDATE_BATCH_S = 10.0
WATTS = 100.0
JOULES_PER_KWH = 3.6e6
WHOLE_EPOCH_KWH = (
    WATTS * (TRAIN_BATCHES * TRAIN_BATCH_S + VALIDATE_BATCHES * VALIDATE_BATCH_S) / JOULES_PER_KWH
)

OnBatch = Callable[[str], None]


def nothing(what: str) -> None:
    """Do nothing at a batch."""


def generators() -> tuple[Any, ...]:
    """Return the state of the random generators: Python's, and NumPy's and PyTorch's if loaded."""
    states: list[Any] = [random.getstate()]
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        states += [name, keys.tobytes(), rest]
    if torch := sys.modules.get("torch"):
        states.append(bytes(torch.get_rng_state().numpy()))
    return tuple(states)


@dataclass
class Outcome:
    """Results of a training.

    Attributes:
        weights: The bytes of every tensor of the model, by name.
        trainer: The framework's own object, to train again with.
        epochs: The metrics logged for each epoch, without the framework's prefix.
        random: State of the random generators afterwards.
    """

    weights: Mapping[str, bytes]
    trainer: Any
    epochs: list[dict[str, float]] = field(default_factory=list)
    random: tuple[Any, ...] = field(default_factory=generators)

    def same_as(self, other: Outcome) -> bool:
        """Whether both trainings ended with the same bits."""
        assert self.weights
        return self.weights == other.weights


class Framework:
    """A framework and its adapter; its model calls `on_batch` with ``train``, ``validate``, ``load``.

    An epoch trains with `TRAIN_BATCHES` and then validates with `VALIDATE_BATCHES` batches.

    Attributes:
        stops: Whether a callback can stop a training.
        stops_at_steps: Whether a budget is checked at every step, or at the ends of epochs only.
        logs_epochs: Whether there are logs of epochs.
        is_block: Whether the callback itself is a block around a training.
        has_validation: Whether training and validation are phases of their own.
        train_phase: Name of the phase that trains.
        validate_phase: Name of the phase that validates.
        calls: The batches in which a program's own code runs, which may raise.
        interrupt: The exception as which a KeyboardInterrupt arrives.
        work: Names of the metrics of the work done that the adapter logs.
        unknown: Metrics that are always logged, as NaN where they are not known.
        epoch_s: Seconds of an epoch's window when batches take their nominal time.
    """

    stops = True
    stops_at_steps = True
    logs_epochs = True
    is_block = False
    has_validation = True
    train_phase = "train"
    validate_phase = "validate"
    calls: tuple[str, ...] = ("train", "validate", "load")
    interrupt: type[BaseException] = KeyboardInterrupt
    work: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    epoch_s = TRAIN_BATCHES * TRAIN_BATCH_S + VALIDATE_BATCHES * VALIDATE_BATCH_S

    def callback(self, **settings: Any) -> Any:
        """Return a new callback of the adapter."""
        raise NotImplementedError

    def training(self, callback: Any) -> Training:
        """Return the `Training` of a callback."""
        training: Training = callback._training
        return training

    def train(
        self,
        *callbacks: Any,
        on_batch: OnBatch = nothing,
        epochs: int = EPOCHS,
        batches: int = TRAIN_BATCHES,
    ) -> Outcome:
        """Train a new model, always from the same seed."""
        raise NotImplementedError

    def train_again(self, outcome: Outcome) -> None:
        """Train again with the same trainer and the same callbacks."""
        raise NotImplementedError

    def in_hook(self, act: Callable[[], object]) -> Any:
        """Return a callback of the framework that acts in the middle of an epoch, once."""
        raise NotImplementedError

    def arrives(self, where: str, error: BaseException) -> type[BaseException]:
        """Return the exception as which an error of a batch of a kind, or of a ``hook``, arrives."""
        return self.interrupt if isinstance(error, KeyboardInterrupt) else type(error)

    @property
    def phases(self) -> set[str]:
        """The phases of every training."""
        return (
            {self.train_phase, self.validate_phase} if self.has_validation else {self.train_phase}
        )

    def phases_s(self, epochs: int = EPOCHS) -> dict[str, float]:
        """Return the seconds of each of them, when batches take their nominal time."""
        train_s = epochs * TRAIN_BATCHES * TRAIN_BATCH_S
        validate_s = epochs * VALIDATE_BATCHES * VALIDATE_BATCH_S
        if not self.has_validation:
            return {self.train_phase: train_s + validate_s}
        return {self.train_phase: train_s, self.validate_phase: validate_s}

    def out_of_memory(self) -> BaseException:
        """Return the exception of a device that is out of memory."""
        return MemoryError("out of memory")


class Boom(Exception):
    """An exception of the program."""


class Fault:
    """Raises at the third batch of a kind."""

    def __init__(self, where: str, error: BaseException) -> None:
        self._where, self._error, self._seen = where, error, 0

    def __call__(self, what: str) -> None:
        """Count a batch; raise if it is the third of its kind."""
        self._seen += what == self._where
        if what == self._where and self._seen > 2:
            raise self._error


def clockwork(clock: Any) -> OnBatch:
    """Return an `on_batch` that lets each batch take its nominal time."""
    seconds = {"train": TRAIN_BATCH_S, "validate": VALIDATE_BATCH_S}
    return lambda what: clock.advance(seconds.get(what, 0.0))


def both(one: OnBatch, other: OnBatch) -> OnBatch:
    """Return an `on_batch` that does one thing and then the other."""

    def do(what: str) -> None:
        one(what)
        other(what)

    return do


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail
