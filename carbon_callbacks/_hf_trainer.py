"""What the Trainer of transformers does not hand its callbacks: itself, and the list of them.

Both are up the stack when a hook is called. Where they cannot be found, everything else works.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

from carbon_callbacks._training.metrics import Figures
from carbon_callbacks._training.watching import Watching
from carbon_callbacks.model_card import write_entry
from carbon_core import OpenWindow, card_entry

# The handler's methods, and the Trainer's, lie no deeper.
_DEPTH = 8


class TrainerKnown(Watching):
    """What there is no event for: exceptions, evaluations, and model cards."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._evaluation: OpenWindow | None = None
        self._led = 0  # the id of the trainer whose methods are led

    def meet_trainer(self) -> None:
        """Find the Trainer, to come before its reporters and to learn what it tells nobody."""
        with self._training.guard():
            trainer, handler = caller_with("create_model_card"), caller_with("callbacks", self)
            if trainer is None or id(trainer) == self._led:
                return
            self._led = id(trainer)
            lead(trainer, "create_model_card", self._write_card)
            lead(trainer, "train", self._train)
            lead(trainer, "evaluate", self._evaluate)
            lead(trainer, "predict", self._evaluate)
            if handler is not None:
                put_second(handler.callbacks, self)

    def evaluation_metrics(self, prefix: str) -> Figures:
        """Return what the evaluation took that ends now; every rank comes here."""
        return self._training.window_metrics(self._evaluation, prefix)

    def _train(self, _: Any, train: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._training.closing():
            return train(*args, **kwargs)

    def _evaluate(
        self, trainer: Any, evaluate: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Measure an evaluation, which is a run of its own outside of a training."""
        with self._training.alone(evaluate.__name__, ranks=trainer.args.world_size):
            around = self._evaluation
            with self._training.guard():
                self._evaluation = self._training.tracker.window()
            try:
                return evaluate(*args, **kwargs)
            finally:
                self._evaluation = around

    def write_model_card(self, path: str | os.PathLike[str], training_type: str = "") -> None:
        """Put the emissions of the training so far into a model card.

        The Trainer's own cards (`create_model_card`, `push_to_hub`) have them already.

        Args:
            path: A ``README.md``.
            training_type: ``pre-training`` or ``fine-tuning``.
        """
        with self._training.guard():
            report = self._training.report_of_training()
            if report is not None and report.components:
                write_entry(Path(path), card_entry(report, training_type))

    def _write_card(
        self, trainer: Any, create_model_card: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        create_model_card(*args, **kwargs)
        if trainer.is_world_process_zero():
            origin = getattr(getattr(trainer.model, "config", None), "_name_or_path", "")
            path = Path(trainer.args.output_dir) / "README.md"
            self.write_model_card(path, "fine-tuning" if origin else "pre-training")

    def __getstate__(self) -> dict[str, Any]:
        # The windows of a copy's trainer are its own.
        return {**self.__dict__, "_evaluation": None}


def caller_with(name: str, member: object = None) -> Any:
    """Return the nearest ``self`` up the stack that has an attribute.

    Args:
        name: The attribute.
        member: What the attribute, a list, holds; None if that does not matter.
    """
    frame = sys._getframe(1).f_back
    for _ in range(_DEPTH):
        if frame is None:
            return None
        caller = frame.f_locals.get("self")
        if hasattr(caller, name) and (member is None or _holds(getattr(caller, name), member)):
            return caller
        frame = frame.f_back
    return None


def _holds(members: object, member: object) -> bool:
    return isinstance(members, list) and member in members


def put_second(callbacks: list[Any], callback: Any) -> None:
    """Move a callback ahead of the reporters, which would otherwise log before it has added anything.

    The Trainer puts the user's callbacks last. Moving up within the list that is being iterated skips
    nobody: who follows stays put.
    """
    callbacks.remove(callback)
    callbacks.insert(1 if callbacks else 0, callback)


def lead(trainer: Any, method: str, around: Callable[..., Any]) -> None:
    """Have a method of one Trainer called by a function, which no event would tell.

    Args:
        trainer: Gets an attribute of its own in the method's place.
        method: The method's name.
        around: Gets the trainer, the method as it was, and its arguments.
    """
    # Partials of bound methods, unlike closures, are copied together with the trainer.
    original = getattr(trainer, method)
    setattr(trainer, method, update_wrapper(partial(around, trainer, original), original))
