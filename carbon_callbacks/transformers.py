"""`EmissionsCallback` for Hugging Face: ``Trainer(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import os
from collections.abc import Sized
from pathlib import Path
from typing import Any

from carbon_callbacks._hf_trainer import add_to_cards, caller_with, put_second
from carbon_callbacks._training.metrics import Progress
from carbon_callbacks._training.watching import Watching
from carbon_callbacks.model_card import write_entry
from carbon_core import card_entry

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "carbon_callbacks.transformers needs the package transformers: "
        "pip install 'carbon-callbacks[transformers]'"
    ) from error

__all__ = ["EmissionsCallback"]


class EmissionsCallback(Watching, TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues]
    """Measures `Trainer.train`, and adds the totals to every log of the training.

    ``energy_kwh`` and the like appear in TensorBoard and the other reporters, in
    ``state.log_history`` and in ``TrainOutput.metrics``; checkpoints hold what the training took so far,
    so that one that resumes adds up. The Trainer tells nobody about an exception; the run is then closed
    by the next training, at exit, or at once in a ``with callback:`` block.

    Args:
        name: Tells this callback from others in checkpoints; the project's name by default.
        forecast: Whether to log what the whole training will take.
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._first = Progress()

    # hook                        event

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self._training.guard():
            handler = caller_with("callbacks", self)
            if handler is not None:
                put_second(handler.callbacks, self)
            trainer = caller_with("create_model_card")
            if trainer is not None:
                add_to_cards(trainer, self.write_model_card)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.forget_restored()
        if self._key in state.stateful_callbacks:
            self._training.restore(state.stateful_callbacks[self._key])
        self._training.begin(resumes=True, alone=args.world_size == 1)
        self._first = Progress(0.0, state.epoch or 0.0, state.num_input_tokens_seen)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.epoch_begin(_fraction(state))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._training.may_stop and (args.world_size == 1 or control.should_log):
            self._stop_if_spent(args, control)
        if control.should_evaluate or control.should_save:
            self._before_pause(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.epoch_end(self._progress(state, kwargs))
        if self._training.may_stop:
            self._stop_if_spent(args, control)
        self._before_pause(state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._training.active:
            self._before_checkpoint(state) if control.should_save else self._training.phase("train")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.phase("train")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        evaluation = logs is None or any(key.startswith("eval_") for key in logs)
        if logs is not None and not evaluation and self._training.active:
            if "train_runtime" in logs:
                self._training.phase("end")
            metrics = self._training.metrics(self._progress(state, kwargs, logs))
            with self._training.guard():
                _add(logs, state, metrics)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.end()

    def write_model_card(self, path: str | os.PathLike[str], training_type: str = "") -> None:
        """Put the emissions of the training so far into a model card.

        The Trainer's own cards (`create_model_card`, `push_to_hub`) have them already.

        Args:
            path: A ``README.md``.
            training_type: ``pre-training`` or ``fine-tuning``.
        """
        with self._training.guard():
            report = self._training.tracker.report()
            if report is not None and report.components:
                write_entry(Path(path), card_entry(report, training_type))

    def _stop_if_spent(self, args: Any, control: Any) -> None:
        """Have the Trainer stop after this step, with the checkpoint that it would write at its end.

        With several ranks each of them must come here at the same step.
        """
        with self._training.guard():
            if self._training.should_stop():
                control.should_training_stop = True
                control.should_save = control.should_save or args.save_strategy != "no"

    def _before_pause(self, state: Any, control: Any) -> None:
        """Enter the phase that the Trainer will do next, which has no hook of its own."""
        if control.should_evaluate:
            self._training.phase("validate")
        elif control.should_save:
            self._before_checkpoint(state)

    def _before_checkpoint(self, state: Any) -> None:
        """Put what the training took so far where the checkpoint takes its state from."""
        self._training.phase("checkpoint")
        kept = self._training.state()
        if kept:
            state.stateful_callbacks[self._key] = kept

    @property
    def _key(self) -> str:
        # Not the name of a class: the Trainer would look for an ExportableState to restore.
        return f"carbon_callbacks:{self._training.name}"

    def _progress(self, state: Any, kwargs: dict[str, Any], logs: Any = None) -> Progress:
        """Return how far the training has come; samples and tokens since this start."""
        with self._training.guard():
            dataset = getattr(kwargs.get("train_dataloader"), "dataset", None)
            samples = None
            if isinstance(dataset, Sized) and state.epoch is not None:
                samples = (state.epoch - (self._first.samples or 0.0)) * len(dataset)
            tokens = state.num_input_tokens_seen - (self._first.tokens or 0) or None
            if tokens is None and logs and not self._first.samples:
                tokens = logs.get("num_tokens")  # as TRL's trainers count them
            return Progress(_fraction(state), samples, tokens)
        return Progress()


def _fraction(state: Any) -> float | None:
    """Return the part of the training (0 to 1) that is done, if it has an end."""
    return state.global_step / state.max_steps if state.max_steps > 0 else None


def _add(logs: dict[str, Any], state: Any, metrics: dict[str, float]) -> None:
    """Add metrics to a log entry and to its copy in the history."""
    logs.update(metrics)
    if state.log_history and state.log_history[-1].get("step") == state.global_step:
        state.log_history[-1].update(metrics)
