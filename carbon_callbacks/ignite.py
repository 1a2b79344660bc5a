"""`EmissionsCallback` for PyTorch Ignite: ``EmissionsCallback().attach(trainer, evaluator)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.loaders import SampleCount
from carbon_callbacks._training.loop import StatefulCallback
from carbon_callbacks._training.metrics import PREFIX, with_prefix
from carbon_callbacks._training.totals import Progress
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from ignite.distributed import get_world_size
    from ignite.engine import Engine, Events
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

wrap_method(Engine, "run")  # no event follows an exception that a handler of the program hides


@with_settings(Training)
class EmissionsCallback(StatefulCallback):
    """Measures the runs of a trainer's engine, and adds the totals to its metrics.

    At the end of each epoch ``trainer.state.metrics`` has ``carbon_energy_kwh`` and the like, which the
    handlers of Ignite's loggers send. Attach it after the handler that runs the evaluator, whose energy
    is of the epoch, too, and before the loggers. A budget ends the epoch and the run. As a part of what
    Ignite's `Checkpoint` saves, it adds the energy before a resumption.

    Args:
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)
        self._samples = SampleCount()
        self._steps, self._stops = 0, False

    def __getstate__(self) -> dict[str, Any]:
        # The loader whose samples are counted belongs to the engine.
        return {**self.__dict__, "_samples": SampleCount()}

    def attach(self, trainer: Engine, *evaluators: Engine) -> Self:
        """Measure the runs of an engine that trains.

        Args:
            trainer: The engine.
            *evaluators: Engines that evaluate within its runs.
        """
        trainer.add_event_handler(Events.EPOCH_STARTED, self._epoch_begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step_end)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_end)
        trainer.add_event_handler(Events.COMPLETED, self._end)
        trainer.add_event_handler(Events.TERMINATE, self._end)  # older versions call only this
        for one in evaluators:
            one.add_event_handler(Events.STARTED, lambda: self._training.phase("validate"))
            one.add_event_handler(Events.COMPLETED, lambda: self._training.phase("train"))
        return self

    def _epoch_begin(self, engine: Engine) -> None:
        # An engine that was interrupted runs on without any event of a start.
        if not self._training.active:
            self._samples, self._steps, self._stops = SampleCount(), 0, False
            self._training.begin(resumes=True, ranks=get_world_size())
        with self._training.guard():
            self._samples.begin_epoch(engine.state.dataloader)
        self._training.epoch_begin(_fraction(engine, engine.state.epoch - 1))

    def _step_end(self, engine: Engine) -> None:
        self._steps += 1
        self._samples.add(engine.state.batch)
        if self._steps >= self._training.steps.due:
            length = engine.state.epoch_length
            done = _fraction(engine, engine.state.iteration / length) if length else None
            self._training.note_step(self._steps, done)
        if self._training.should_stop(self._steps):
            engine.terminate_epoch()  # with the evaluation at its end, as all epochs
            self._stops = True

    def _epoch_end(self, engine: Engine) -> None:
        self._training.epoch_end()
        self._training.improve(engine.state.metrics)
        self._log(engine, f"epoch {engine.state.epoch}")
        one_rank = get_world_size() == 1
        if self._stops or (one_rank and self._training.should_stop(self._steps)):
            engine.terminate()

    def _end(self, engine: Engine) -> None:
        if self._training.active:
            self._log(engine, "end")
            self._training.end()

    def _log(self, engine: Engine, at: str) -> None:
        samples, of_data = self._samples.of_ranks(get_world_size())
        progress = Progress(_fraction(engine, engine.state.epoch), samples, dataset_samples=of_data)
        metrics = self._training.selection.of(self._training.metrics(progress, at))
        engine.state.metrics.update(with_prefix(metrics, PREFIX))


def _fraction(engine: Engine, epochs: float) -> float | None:
    """Return the part of a run (0 to 1) that is done after some epochs; None where that is unknown."""
    state = engine.state
    if iterations := getattr(state, "max_iters", None):
        return float(state.iteration / iterations)
    return epochs / state.max_epochs if state.max_epochs else None
