"""`EmissionsCallback` for Hugging Face: ``Trainer(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carbon_callbacks._hf_progress import (
    OperationCount,
    SampleCount,
    TokenCount,
    fraction_done,
    fraction_logged,
)
from carbon_callbacks._hf_trainer import (
    TrainerHooks,
    calling_trainer,
    wrap_display,
    wrap_subclass,
    wrap_trainer,
)
from carbon_callbacks._training.calls import innermost
from carbon_callbacks._training.early_stopping import patience_used
from carbon_callbacks._training.metrics import PREFIX, with_prefix
from carbon_callbacks._training.totals import Figures, Progress
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_core import TrainingEstimate

try:
    import torch  # noqa: F401 - without it, `Trainer` is an object that raises when it is used
    from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

wrap_trainer(Trainer)
wrap_display(ProgressCallback)
wrap_display(PrinterCallback)


@with_settings(Training)
class EmissionsCallback(TrainerHooks, TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues]
    """Measures `Trainer.train`, `evaluate` and `predict`, and adds their energy to the logs.

    ``carbon_energy_kwh`` and the like appear in ``state.log_history`` and in the reporters (TensorBoard:
    ``train/carbon_energy_kwh``), ``eval_carbon_energy_kwh`` in the logs of an evaluation. The return
    values of `evaluate`, `predict` and `train` stay the same, so that searches and schedulers see no
    energy. Checkpoints hold the energy of the training so far, so that a resumed training adds up.

    Args:
        return_metrics: Whether `evaluate`, `predict` and `train` also return the energy.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self, *, return_metrics: bool = False, **overrides: Unpack[CallbackArguments]
    ) -> None:
        super().__init__(return_metrics=return_metrics, **overrides)
        self._sample_count = SampleCount()
        self._token_count = TokenCount()
        self._operations = OperationCount()
        self._steps = 0

    def estimate(self, trainer: Any, *, steps: int = 50) -> TrainingEstimate:
        """Estimate a training by a dry run of some steps on a copy; nothing is saved or logged.

        Args:
            trainer: The Trainer that will train.
            steps: Optimizer steps to train at least.

        Raises:
            CarbonError: A dry run of this training is not possible; the message has the reason.
        """
        from transformers.trainer_callback import DefaultFlowCallback

        from carbon_callbacks._hf_dry_run import HfDryRun
        from carbon_callbacks._training.dry_run import estimate

        run = HfDryRun(trainer, TrainerCallback, DefaultFlowCallback)
        data = trainer.train_dataset, trainer.eval_dataset, trainer.data_collator
        return estimate(self._training, steps, run.run, *data)

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self.guard():
            wrap_subclass(calling_trainer())
        self._training.preload()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trainer = None
        with self.guard():
            call = innermost()
            trainer = call.owner if call is not None else calling_trainer()
            wrap_subclass(trainer)  # it may have been added later
        with self.guard():
            self._begin(trainer, args, state)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.epoch_begin(fraction_done(state))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._steps += 1
        if self._steps >= self._training.steps.due:
            self._training.note_step(self._steps, fraction_done(state))
        if self._training.may_stop:
            self._stop_if_spent(args, state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.epoch_end()
        if self._training.may_stop:
            self._stop_if_spent(args, state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Several ranks stop at the same step, which `on_step_end` counts.
        if self._training.may_stop and self._training.active and args.world_size == 1:
            self._stop_if_spent(args, state, control)

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any
    ) -> None:
        if self.return_metrics and self._evaluations and (prefix := _evaluated(metrics)):
            metrics.update(self._evaluation_figures(prefix, state))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.steps.count = self._steps
        if not self._pruning:
            self._training.end()
            self.send_receipt()

    def figures_for(self, trainer: Any, logs: dict[str, Any]) -> Figures:
        """Return what is added to a log entry: totals, or those of the evaluation that it is of."""
        training, state = self._training, trainer.state
        if not training.active:
            return {}
        training.improve(logs)
        if self._evaluations:
            prefix = _evaluated(logs)
            return self._evaluation_figures(prefix, state) if prefix else {}
        self._token_count.note(state, logs)
        last = "train_runtime" in logs and "total_flos" in logs
        if last:
            training.phase("end")
            training.settle_ranks("last log")
            self.find_uploads(trainer)
        at = "end" if last else f"{state.global_step}"
        progress = self._progress(trainer, last=last)
        figures = training.metrics(progress, at, within_epoch=not last, summary=last)
        chosen = training.selection.at_end(figures) if last else training.selection.of(figures)
        return with_prefix(chosen, PREFIX)

    def _begin(self, trainer: Any, args: Any, state: Any) -> None:
        self._training.forget_restored()
        if self.state_key in state.stateful_callbacks:
            self._training.restore(state.stateful_callbacks[self.state_key])
        # The hooks of SetFit get arguments of its own, which are not those of the Trainer.
        ranks = getattr(getattr(trainer, "args", args), "world_size", 1)
        self._training.tracker.note_model(getattr(trainer, "model", None))
        self._training.begin(resumes=True, ranks=ranks)
        self._steps = 0
        self._sample_count = SampleCount(state.epoch or 0.0)
        self._token_count = TokenCount(trainer, state)
        self._operations = OperationCount(state)

    def _stop_if_spent(self, args: Any, state: Any, control: Any) -> None:
        """Have the Trainer stop after this step, with the checkpoint that it would write at its end."""
        with self._training.guard():
            if self._training.should_stop(state.global_step):
                control.should_training_stop = True
                control.should_save = control.should_save or args.save_strategy != "no"

    def _evaluation_figures(self, prefix: str, state: Any) -> Figures:
        prefix += PREFIX
        at = f"{prefix}{state.global_step}"
        return self._training.window_metrics(self._evaluations[-1], prefix, at)

    def _progress(self, trainer: Any, *, last: bool) -> Progress:
        samples = used = flops = of_data = None
        with self._training.guard():
            used = patience_used(trainer.callback_handler.callbacks)
            flops = self._operations.so_far(trainer.state)
            if last or self._training.selection.has("samples"):
                samples = self._sample_count.so_far(trainer)
                of_data = self._sample_count.of_data
        fraction = fraction_done(trainer.state) if last else fraction_logged(trainer.state)
        return Progress(fraction, samples, self._token_count.value, used, flops, of_data)


def _evaluated(logs: dict[str, Any]) -> str:
    """Return the prefix of an evaluation's metrics; an empty string if these are none."""
    times = [str(key) for key in logs if str(key).endswith("_runtime")]
    return times[0].removesuffix("runtime") if times else ""
