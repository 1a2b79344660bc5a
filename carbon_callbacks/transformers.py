"""`EmissionsCallback` for Hugging Face: ``Trainer(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from carbon_callbacks._hf_trainer import TrainerKnown
from carbon_callbacks._training.metrics import Progress
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "carbon_callbacks.transformers needs the package transformers: "
        "pip install 'carbon-callbacks[transformers]'"
    ) from error

__all__ = ["EmissionsCallback"]


@with_settings(Training)
class EmissionsCallback(TrainerKnown, TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues]
    """Measures `Trainer.train`, `evaluate` and `predict`, and adds what they took to their logs.

    ``energy_kwh`` and the like appear in TensorBoard and the other reporters, in
    ``state.log_history`` and in ``TrainOutput.metrics``, ``eval_energy_kwh`` in the metrics of an
    evaluation; checkpoints hold what the training took so far, so that one that resumes adds up.

    Args:
        name: Tells this callback from others in checkpoints; the project's name by default.
        forecast: Whether to log what the whole training will take.
        sync: Whether to wait for the accelerator's queue where a phase ends.
        improvement_of: A metric, such as ``eval_loss``: the energy for each unit by which it has become
            better is logged.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._first = Progress()
        self._tokens: float | None = None

    # hook                        event

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meet_trainer()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meet_trainer()  # it may have been added later
        self._training.forget_restored()
        if self._key in state.stateful_callbacks:
            self._training.restore(state.stateful_callbacks[self._key])
        self._training.begin(resumes=True, alone=args.world_size == 1)
        self._first = Progress(0.0, state.epoch or 0.0, state.num_input_tokens_seen)
        self._tokens = None

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
        if logs is None or not self._training.active:
            return
        with self._training.guard():
            self._training.improve(logs)
            last = "train_runtime" in logs
            if last:
                self._training.phase("end")
            elif prefix := _evaluated(logs):
                _add(logs, state, self.evaluation_metrics(prefix))
                return
            progress = self._progress(state, kwargs, logs)
            _add(logs, state, self._training.metrics(progress, phases=last))

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any
    ) -> None:
        with self._training.guard():
            if self._training.active and (prefix := _evaluated(metrics)):
                metrics.update(self.evaluation_metrics(prefix))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.end()

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
            if not self._first.samples:  # TRL's trainers count tokens from the very first start on
                self._tokens = (logs or {}).get("num_tokens", self._tokens)
                tokens = self._tokens if tokens is None else tokens
            return Progress(_fraction(state), samples, tokens)
        return Progress()


def _fraction(state: Any) -> float | None:
    """Return the part of the training (0 to 1) that is done, if it has an end."""
    return state.global_step / state.max_steps if state.max_steps > 0 else None


def _evaluated(logs: dict[str, Any]) -> str:
    """Return the prefix of an evaluation's metrics; an empty string if these are none."""
    times = [key for key in logs if str(key).endswith("_runtime") and key != "train_runtime"]
    return times[0].removesuffix("runtime") if times else ""


def _add(logs: dict[str, Any], state: Any, metrics: dict[str, float]) -> None:
    """Add metrics to a log entry and to its copy in the history."""
    logs.update(metrics)
    if state.log_history and state.log_history[-1].get("step") == state.global_step:
        state.log_history[-1].update(metrics)
