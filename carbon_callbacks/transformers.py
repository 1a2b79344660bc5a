"""`EmissionsCallback` for Hugging Face: ``Trainer(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import sys
from typing import Any

from carbon_callbacks._training import Watching

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
    ``state.log_history`` and in ``TrainOutput.metrics``. The Trainer tells nobody about an exception;
    the run is then closed by the next training, at exit, or at once in a ``with callback:`` block.

    Args:
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._epoch_metrics: dict[str, float] = {}

    # hook                        event

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self._training.guard():
            _move_before_reporters(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.begin()
        self._epoch_metrics = {}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.epoch_begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._training.may_stop and (args.world_size == 1 or control.should_log):
            self._stop_if_spent(args, control)
        if control.should_evaluate or control.should_save:
            self._before_pause(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._epoch_metrics = self._training.epoch_end()
        if self._training.may_stop:
            self._stop_if_spent(args, control)
        self._before_pause(control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.phase("checkpoint" if control.should_save else "train")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.phase("train")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        evaluation = logs is None or any(key.startswith("eval_") for key in logs)
        if logs is not None and not evaluation and self._training.running:
            with self._training.guard():
                if "train_runtime" in logs:
                    self._training.phase("end")
                _add(logs, state, {**self._epoch_metrics, **self._training.metrics()})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.end()

    def _stop_if_spent(self, args: Any, control: Any) -> None:
        """Have the Trainer stop after this step, with the checkpoint that it would write at its end.

        With several ranks each of them must come here at the same step.
        """
        with self._training.guard():
            if _any_rank(args, self._training.should_stop):
                control.should_training_stop = True
                control.should_save = control.should_save or args.save_strategy != "no"

    def _before_pause(self, control: Any) -> None:
        """Enter the phase that the Trainer will do next, which has no hook of its own."""
        if control.should_evaluate:
            self._training.phase("validate")
        elif control.should_save:
            self._training.phase("checkpoint")


def _any_rank(args: Any, decision: bool) -> bool:
    """Return a decision that every rank comes to; each of them must ask."""
    torch = sys.modules["torch"]
    if args.world_size == 1 or not torch.distributed.is_initialized():
        return decision
    votes = torch.tensor(int(decision), device=args.device)
    torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
    return bool(votes.item())


def _add(logs: dict[str, Any], state: Any, metrics: dict[str, float]) -> None:
    """Add metrics to a log entry and to its copy in the history."""
    logs.update(metrics)
    if state.log_history and state.log_history[-1].get("step") == state.global_step:
        state.log_history[-1].update(metrics)


def _move_before_reporters(callback: EmissionsCallback) -> None:
    """Move a callback ahead of the reporters, which would otherwise log before it has added anything.

    The Trainer puts the user's callbacks last and does not hand its handler to them; the handler is
    the caller of this hook. Where it cannot be found, everything but the reporters still works.
    """
    frame = sys._getframe(2)
    for _ in range(4):
        callbacks = getattr(frame.f_locals.get("self"), "callbacks", None)
        if isinstance(callbacks, list) and callback in callbacks:
            # Moving up within the list that is being iterated skips nobody: who follows stays put.
            callbacks.remove(callback)
            callbacks.insert(1 if callbacks else 0, callback)
            return
        if frame.f_back is None:
            return
        frame = frame.f_back
