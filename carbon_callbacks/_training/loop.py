"""The base class of callbacks for loops that the user writes: Accelerate, Lightning Fabric."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.loaders import SampleCount
from carbon_callbacks._training.metrics import SLASH_PREFIX, with_prefix
from carbon_callbacks._training.totals import Figures, Progress
from carbon_core import status_of

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

_Batch = TypeVar("_Batch")


class StatefulCallback(CallbackBase):
    """A callback that checkpoints save as they save models: by `state_dict`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the training so far, for a checkpoint."""
        return self._training.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a checkpoint: the current run continues it, or the next one."""
        self._training.restore(state_dict)


class LoopCallback(StatefulCallback):
    """Measures a loop that the user writes, with its epochs, batches and evaluations.

    A run begins with the first epoch, if it has not begun before. A ``with`` block around the loop ends
    it, also where the loop raises.

    Args:
        **arguments: As for `carbon_callbacks.training.Training`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **arguments: Unpack[CallbackArguments]) -> None:
        super().__init__(**arguments)
        self._loop = Loop()
        self._in_block = False

    def __enter__(self) -> Self:
        self._in_block = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._in_block = False
        super().__exit__(kind, error, traceback)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loop": Loop(), "_in_block": False}

    def epochs(self, epochs: int | range) -> Iterator[int]:
        """Yield the numbers of a training's epochs, up to the one in which the budget is exceeded.

        Args:
            epochs: How many; or a range that ends with the whole training, for one that resumes.
        """
        numbers = range(epochs) if isinstance(epochs, int) else epochs
        if self._loop.is_abandoned:
            self.end_abandoned()
        begins = self._begin_once()
        loop = self._loop
        loop.has_begun_run = begins or loop.has_begun_run
        for epoch in numbers:
            loop.begin_epoch(epoch, numbers.stop)
            self._training.epoch_begin(epoch / numbers.stop)
            yield epoch
            self._training.epoch_end()
            loop.epoch = None
            if loop.stopped or self._stops_after_epoch(epoch):
                break
        if begins and not self._in_block:
            self.end()

    def batches(self, loader: Iterable[_Batch]) -> Iterator[_Batch]:
        """Yield the batches of an epoch of training, up to the one in which the budget is exceeded.

        Outside of `epochs`, they are the only epoch of a training.

        Args:
            loader: The data; with a length, progress within an epoch is known, too.
        """
        if self._loop.epoch is None:
            for _ in self.epochs(1):
                yield from self.batches(loader)
            return
        loop, training = self._loop, self._training
        training.phase("train")
        with training.guard():
            loop.begin_batches(loader)
        for batch in loader:
            loop.samples.add(batch)
            loop.steps += 1  # before it is done: a log that follows its work is of this step, too
            yield batch
            if loop.steps >= training.steps.due:
                training.note_step(loop.steps, loop.fraction)
            if training.should_stop(loop.steps):
                loop.stopped = True
                return
        loop.end_batches()

    @contextlib.contextmanager
    def evaluation(self, kind: str = "evaluate") -> Iterator[None]:
        """Measure a block that evaluates; outside of a training, it is a run of its own.

        Args:
            kind: Its phase outside of a training; within one the phase is ``validate``.
        """
        with self._training.evaluation(kind, ranks=self._ranks()):
            yield

    def checkpoint(self) -> contextlib.AbstractContextManager[None]:
        """Measure a block that writes a checkpoint, in a phase of its own."""
        return self._training.within("checkpoint")

    def with_metrics(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the metrics so far together with what a loop logs, which takes precedence.

        Args:
            values: What it logs.
        """
        with self._training.guard():
            # A loss with its graph would keep the memory of a step.
            self._training.improve({name: _detached(value) for name, value in values.items()})
        if self._training.active:
            with self._training.guard():
                return {**self.metrics(), **values}
        return values

    def metrics(self) -> Figures:
        """Return the metrics to log, under the names that all callbacks log; {} if nothing is measured.

        They are those of all ranks, and after the end of a run its final ones.
        """
        training, loop = self._training, self._loop
        if not training.active:
            return with_prefix(training.final_metrics(), SLASH_PREFIX)
        samples, of_data = loop.samples.of_ranks(self._ranks())
        progress = Progress(loop.fraction, samples, dataset_samples=of_data)
        within_epoch = not loop.has_ended  # where there may be a log for each batch
        figures = training.metrics(progress, loop.next_log(), within_epoch=within_epoch)
        return with_prefix(training.selection.of(figures), SLASH_PREFIX)

    def end_abandoned(self) -> None:
        """End the run of a loop that an exception has left, unless a ``with`` block will do so."""
        if self._training.active and not self._in_block:
            self._training.end("interrupted")

    def end(self) -> None:
        """End the run; does nothing without one."""
        self._training.end()

    def _ranks(self) -> int:
        """Return how many ranks train together."""
        return 1

    def _begin_once(self) -> bool:
        """Begin a run if none is running; return whether it did."""
        if self._training.active:
            return False
        self._loop = Loop()
        self._training.begin(resumes=True, ranks=self._ranks(), on_exit=self._exit)
        return True

    def _exit(self, error: BaseException | None) -> None:
        self._training.end(status_of(error))

    def _stops_after_epoch(self, epoch: int) -> bool:
        # Several ranks stop at the same step; without steps, epochs are counted.
        if self._loop.steps and self._ranks() > 1:
            return False
        return self._training.should_stop(self._loop.steps or epoch + 1)


def _detached(value: Any) -> Any:
    detach = getattr(value, "detach", None)
    return value if detach is None else detach()


class Loop:
    """Progress of a loop.

    Attributes:
        epoch: The current epoch; None outside of any.
        steps: Batches of training since the run began.
        samples: Samples of these.
        stopped: Whether the budget was exceeded within an epoch.
        has_begun_run: Whether its first epoch began the run.
        has_ended: Whether the batches of the epoch have ended.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.steps = 0
        self.samples = SampleCount()
        self.stopped = False
        self.has_begun_run = False
        self._epochs = 1
        self._length: int | None = None
        self._first_step = 0
        self.has_ended = False
        self._logs: tuple[Any, int] = (None, 0)

    @property
    def is_abandoned(self) -> bool:
        """Whether an epoch has not ended: the loop was left by an exception or a ``break``."""
        return self.has_begun_run and self.epoch is not None

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Begin an epoch of the loop's epochs."""
        self.epoch, self._epochs = epoch, epochs
        self._length, self.has_ended = None, False

    def begin_batches(self, loader: Any) -> None:
        """Begin with the batches of an epoch."""
        self.samples.begin_epoch(loader)
        self._first_step, self.has_ended = self.steps, False
        # A data set without a length may have a loader whose `len` raises, whatever its author chose.
        with contextlib.suppress(Exception):
            self._length = len(loader) if isinstance(loader, Sized) else None

    def end_batches(self) -> None:
        """End the batches of an epoch; what follows is its evaluation."""
        self.has_ended = True

    def next_log(self) -> str:
        """Return a name for a log that is the same on all ranks, also if one of them has logged more."""
        at, number = (self.epoch, self.steps), 1
        if self._logs[0] == at:
            number += self._logs[1]
        self._logs = at, number
        return f"epoch {self.epoch} step {self.steps} log {number}"

    @property
    def fraction(self) -> float | None:
        """The part of the training (0 to 1) that is done; None where that is unknown."""
        if self.epoch is None:
            return None
        part = 1.0 if self.has_ended else self._part_of_epoch()
        return None if part is None else (self.epoch + part) / self._epochs

    def _part_of_epoch(self) -> float | None:
        done = self.steps - self._first_step
        return min(1.0, done / self._length) if self._length else None
