"""Trainings in rounds: gradient boosting, which adds a tree in each.

The libraries call their callbacks after a round, and nothing when a training begins, ends or fails.
Therefore their functions that train are wrapped, and find the callbacks among their arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import called, innermost
from carbon_callbacks._training.early_stopping import patience_used
from carbon_callbacks._training.fits import note_fit, segments_of_model
from carbon_callbacks._training.totals import Progress
from carbon_core import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

# Where nothing else is chosen: entries of the history, and the least seconds between two of them. A log
# costs milliseconds, as much as several rounds with little data.
_LOGS = 100
_LEAST_S = 0.1
_NOT_MEASURED = (
    "a training is not measured, because its function was imported by name before the module of the "
    "callback: import the callback first, or call the function by its package's name"
)


class RoundsCallback(CallbackBase):
    """A callback for trainings in rounds; subclasses have the hooks of their library.

    Attributes:
        history: The metrics that were logged in the current or latest training: one mapping for each
            log, with the number of rounds as ``round``.
        is_last_round: Whether the round that ended last is that of the number that was requested.

    Args:
        log_every: Rounds between two logs. By default there are at most about 200, a tenth of a second
            or more apart: one after each round of a training with few and long ones.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self, *, log_every: int | None = None, **overrides: Unpack[CallbackArguments]
    ) -> None:
        if log_every is not None and (not isinstance(log_every, int) or log_every < 1):
            raise ConfigError(
                f"log_every must be a number of rounds, at least 1; got {log_every!r}"
            )
        super().__init__(**overrides)
        self.history: list[dict[str, float]] = []
        self._log_every = log_every
        self._done = 0
        self._fraction: float | None = None
        self.is_last_round = False
        self._is_restored = False

    def state(self) -> dict[str, Any]:
        """Return the training so far as plain types, to be stored beside its model; {} without one."""
        return self._training.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned: the training that begins next continues that one."""
        self._training.restore(state)
        self._is_restored = True

    def begin_rounds(self, earlier: Any) -> None:
        """Begin a training.

        Args:
            earlier: The model, or the file of a model, that it adds rounds to; None without one.
        """
        self.history, self._done, self.is_last_round = [], 0, False
        is_restored, self._is_restored = self._is_restored, False
        self._training.begin(resumes=True)
        with self._training.guard():
            if earlier is None or is_restored:
                pass
            elif segments := segments_of_model(earlier):
                self._training.tracker.continue_from(segments)
            else:
                self._training.continue_last()

    def end_round(self, scores: Mapping[str, float], total: int | None = None) -> bool:
        """End a round; return whether the training should stop, because its budget is exceeded.

        Args:
            scores: The metrics of its evaluations.
            total: Number of rounds of the training, where its arguments do not have it.
        """
        self.warn_unless_measured()
        rounds, training = current_rounds(), self._training
        if rounds is None or not any(one is self for one in rounds.callbacks):
            return False  # of a training within another one with the same callback
        rounds.total = total or rounds.total
        self._done += 1
        self._fraction = min(1.0, self._done / rounds.total) if rounds.total else None
        self.is_last_round = self._done == rounds.total
        is_due = self._is_due(rounds.total)
        # A first round that is logged is a lap of the forecast, like the others.
        if self._done >= training.steps.due and not (is_due and self._done == 1):
            training.note_step(self._done, self._fraction)
        training.improve(scores)
        if is_due:
            self._log()
        return training.should_stop(self._done)

    def warn_unless_measured(self) -> None:
        """Log a warning, once, where a hook is called by a training that has not been noticed."""
        if current_rounds() is None:
            self._training.tracker.warn(_NOT_MEASURED)

    def end_rounds(self) -> None:
        """End the training; of one that has stopped early, log the last rounds."""
        if self._done and (not self.history or self.history[-1]["round"] < self._done):
            self._log()
        self._training.end()

    def begin_round(self, total: int | None) -> None:
        """Begin a round, unless it has begun."""
        if self._training.epoch_age_s is None:
            self._training.epoch_begin(self._done / total if total else None)

    def _is_due(self, total: int | None) -> bool:
        """Return whether the round that has ended is logged."""
        every = self._log_every or max(1, (total or 0) // _LOGS)
        age_s = self._training.epoch_age_s or 0.0
        is_soon = self._log_every is None and age_s < _LEAST_S
        return self.is_last_round or (self._done % every == 0 and not is_soon)

    def patience_used(self, early_stopping: Sequence[Any]) -> float | None:
        """Return how near early stopping is (0 to 1); None without it.

        Args:
            early_stopping: The library's own callbacks that may end the training.
        """
        return patience_used(early_stopping)

    def _log(self) -> None:
        used, rounds = None, current_rounds()
        with self._training.guard():
            used = self.patience_used(rounds.early_stopping if rounds is not None else ())
        self._training.epoch_end()
        progress = Progress(self._fraction, patience_used=used)
        figures = self._training.metrics(progress, f"round {self._done}")
        self.history.append({"round": self._done, **self._training.selection.of(figures)})


class Rounds:
    """A training in rounds.

    Attributes:
        callbacks: Those that measure it.
        total: Number of its rounds; None where it is unknown.
        early_stopping: The library's own callbacks that may end it, as far as they were noted.

    Args:
        callbacks: As above.
        total: As above.
        earlier: The model, or the file of a model, that it adds rounds to; None without one.
    """

    def __init__(
        self, callbacks: Sequence[RoundsCallback], total: int | None, earlier: Any
    ) -> None:
        self.callbacks = callbacks
        self.total = total
        self.early_stopping: list[Any] = []
        self._earlier = earlier

    def run(self, train: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the function that trains, and return its result."""
        for callback in self.callbacks:
            callback.begin_rounds(self._earlier)
        result = train(*args, **kwargs)
        for callback in self.callbacks:
            callback.end_rounds()
            with callback._training.guard():
                note_fit(result, callback.report.segments if callback.report else ())
        return result

    def begin_round(self) -> None:
        """Begin a round, unless it has begun; models that are trained side by side share it."""
        for callback in self.callbacks:
            callback.begin_round(self.total)

    def phase(self, name: str) -> None:
        """Begin a phase."""
        for callback in self.callbacks:
            callback._training.phase(name)


def current_rounds() -> Rounds | None:
    """Return the training in rounds that this thread runs, and measures."""
    call = innermost()
    owner = call.owner if call is not None else None
    return owner if isinstance(owner, Rounds) else None


def train_in_rounds(train: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function that trains in rounds; the callbacks among its arguments measure it.

    Args:
        train: The function; has an argument ``callbacks``.
        *args: Its arguments.
        **kwargs: The same.
    """
    given = _arguments_of(train, args, kwargs)
    callbacks = ours_among(given.get("callbacks"))
    if not callbacks and current_rounds() is None:
        return train(*args, **kwargs)
    # One that is measuring is within its training, and trains something else: those are no rounds of it.
    free = [one for one in callbacks if not one._training.active]
    earlier = given.get("xgb_model", given.get("init_model"))
    rounds = Rounds(free, given.get("num_boost_round"), earlier)
    return called(Rounds.run, rounds, train, args, kwargs)


def round_of(update: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method that trains a model for a round."""
    rounds = current_rounds()
    if rounds is not None:
        rounds.begin_round()
    return update(model, *args, **kwargs)


def evaluation_of(evaluate: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method that evaluates a model after a round."""
    rounds = current_rounds()
    if rounds is None:
        return evaluate(model, *args, **kwargs)
    rounds.phase("validate")
    result = evaluate(model, *args, **kwargs)
    rounds.phase("train")
    return result


def note_early_stopping(check: Callable[..., Any], one: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a callback of the library that may end the training, and note it: it may be a parameter."""
    rounds = current_rounds()
    if rounds is not None and one not in rounds.early_stopping:
        rounds.early_stopping.append(one)
    return check(one, *args, **kwargs)


def ours_among(given: Any) -> list[RoundsCallback]:
    """Return those of some callbacks that are of this package, each once."""
    found = given if isinstance(given, (list, tuple, set)) else ()
    return [*{id(one): one for one in found if isinstance(one, RoundsCallback)}.values()]


def _arguments_of(function: Callable[..., Any], args: Any, kwargs: Any) -> Mapping[str, Any]:
    """Return the arguments of a call by name, with defaults; {} where they do not suit."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return {}
    bound.apply_defaults()
    return bound.arguments
