"""Lightning's hooks, for both of its packages, which differ only in the base classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from carbon_callbacks._lightning_logs import TrainerLogs, bar_metrics
from carbon_callbacks._lightning_trainer import (
    EvaluatedMetric,
    flops_of,
    fraction_done,
    part_of_epoch,
)
from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.early_stopping import patience_used
from carbon_callbacks._training.loaders import SampleCount
from carbon_callbacks._training.metrics import SLASH_PREFIX
from carbon_callbacks._training.totals import Progress
from carbon_callbacks._training.training import Training
from carbon_core import status_of, with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_core import TrainingEstimate

_Hook = TypeVar("_Hook", bound=Callable[..., None])


def wrap_trainer(trainer_class: type, bar_class: type) -> None:
    """Wrap the methods for which there is no hook.

    Every `fit`, `validate`, `test` and `predict` goes through one of a Trainer: an exception in another
    callback's `on_exception`, or in a spawned worker, calls no hook. Progress bars get their metrics
    from the other.
    """
    wrap_method(trainer_class, "_run")
    wrap_method(bar_class, "get_metrics", bar_metrics)


def of_trainer(hook: _Hook) -> _Hook:
    """Have a hook called by a Trainer only: Fabric calls hooks of these names with other arguments."""

    @functools.wraps(hook)
    def checked(self: LightningHooks, *args: Any, **kwargs: Any) -> None:
        if args and hasattr(args[0], "fit_loop"):
            hook(self, *args, **kwargs)
        else:
            self.refuse()

    return checked  # type: ignore[return-value]


@with_settings(Training)
class LightningHooks(CallbackBase):
    """Measures what `Trainer` does, and logs it.

    At the end of each training epoch ``carbon/energy_kwh`` and the like are logged, where EarlyStopping
    and ModelCheckpoint can monitor them; at the end the exact totals go to the loggers. Checkpoints hold
    the energy of the training so far, so that a resumed training adds up.

    Args:
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)
        self._logs = TrainerLogs(self._training)
        self._saving = False
        self._batches = 0
        self._samples = SampleCount()
        self._evaluated = EvaluatedMetric(None)
        self._has_refused = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the hooks that do nothing, too: Fabric's arguments would be too few for them."""
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            hook = getattr(cls, name)
            if name.startswith("on_") and not hasattr(hook, "__wrapped__"):
                setattr(cls, name, of_trainer(hook))

    @property
    def state_key(self) -> str:
        """The key in checkpoints: the same in both packages."""
        return f"EmissionsCallback{{'name': {self._training.name!r}}}"

    def refuse(self) -> None:
        """Warn once that something other than a Trainer calls the hooks; do nothing else."""
        if self._has_refused:
            return
        self._has_refused = True
        self._training.tracker.warn(
            "EmissionsCallback needs a Trainer; with Fabric, use carbon_callbacks.fabric "
            "(docs/trainers.md)"
        )

    @of_trainer
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin(trainer, "train", resumes=True)
        self._batches = 0
        self._samples = SampleCount()
        self._evaluated = EvaluatedMetric(self._training.improvement_of)

    @of_trainer
    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("sanity_check")

    @of_trainer
    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("setup")

    @of_trainer
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        with self._training.guard():
            self._samples.begin_epoch(trainer.train_dataloader)
            self._training.epoch_begin(fraction_done(trainer, trainer.current_epoch))

    @of_trainer
    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches += 1
        if self._batches == 1 and batch_idx > 0:
            self._resume_within_epoch(trainer, batch_idx)
        self._samples.add(batch)
        if self._batches > self._training.steps.due:
            with self._training.guard():
                epochs = trainer.current_epoch + part_of_epoch(trainer, batch_idx)
                self._training.note_step(self._batches - 1, fraction_done(trainer, epochs))
        # No hook follows a checkpoint that was written; the next batch does.
        if self._saving:
            self._saving = False
            self._training.phase("train")
        if self._batches == 1 and self._training.active:
            self._logs.monitor(trainer, pl_module, self._training.metrics(within_epoch=True))
        if self._training.may_stop:
            self._stop_if_spent(trainer)

    def _resume_within_epoch(self, trainer: Any, batch_idx: int) -> None:
        """Begin the rest of an epoch: newer versions of Lightning do not call `on_train_epoch_start`."""
        with self._training.guard():
            self._samples.begin_epoch(trainer.train_dataloader)
            epochs = trainer.current_epoch + part_of_epoch(trainer, batch_idx)
            self._training.resume_epoch(fraction_done(trainer, epochs))

    @of_trainer
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not self._training.active:
            return
        self._training.improve(self._evaluated.of_epoch(trainer.callback_metrics))
        self._training.epoch_end()
        metrics = self._training.metrics(self._progress(trainer), f"epoch {trainer.current_epoch}")
        self._stop_at_boundary(trainer)
        self._logs.epoch(trainer, pl_module, metrics)

    @of_trainer
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._enter(trainer, "validate")
            self._evaluated.validation_begins(trainer.callback_metrics)

    @of_trainer
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # Monitors may read the metrics now, before the first epoch has ended.
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self._training.active:
            self._logs.monitor(trainer, pl_module, self._training.metrics(within_epoch=True))

    @of_trainer
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self._training.active and (
            new := self._evaluated.of_validation(trainer.callback_metrics)
        ):
            self._training.improve(new)
            self._training.metrics(within_epoch=True)
            self._stop_at_boundary(trainer)
        self._training.phase("train")

    @of_trainer
    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._enter(trainer, "test")

    @of_trainer
    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self._enter(trainer, "predict")

    @of_trainer
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        self._training.phase("checkpoint")
        self._saving = True

    @of_trainer
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("end")

    @of_trainer
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._close(trainer, "completed")

    @of_trainer
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._exit(trainer, exception)

    def __iter__(self) -> NoReturn:
        # A Trainer of the other package iterates over a callback that is given without a list.
        raise TypeError(
            f"{type(self).__module__}.EmissionsCallback alone is for Trainers of its own package: "
            "put it in a list, or import it from the other one of carbon_callbacks.lightning and "
            "carbon_callbacks.pytorch_lightning"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Lightning puts `log` and `log_dict` on its callbacks: bound methods of the whole module. The
        # loader whose samples are counted belongs to the Trainer.
        kept = {
            key: value for key, value in self.__dict__.items() if key not in ("log", "log_dict")
        }
        return {**kept, "_samples": SampleCount()}

    def _begin(self, trainer: Any, kind: str, *, resumes: bool = False) -> None:
        with self._training.guard():
            self._training.tracker.note_model(trainer.lightning_module)
            self._training.begin(
                resumes=resumes,
                ranks=trainer.world_size,
                kind=kind,
                on_exit=functools.partial(self._exit, trainer),
            )

    def _enter(self, trainer: Any, phase: str) -> None:
        """Enter a phase, which is a run of its own outside fit."""
        if not self._training.active and trainer.state.fn != "fit":
            self._begin(trainer, phase)
        self._training.phase(phase)

    def _stop_at_boundary(self, trainer: Any) -> None:
        """Have the Trainer stop now; several ranks stop at the same batch, which each one counts."""
        if self._training.may_stop and trainer.world_size == 1:
            self._stop_if_spent(trainer)

    def _stop_if_spent(self, trainer: Any) -> None:
        """Have the Trainer stop after this batch."""
        with self._training.guard():
            trainer.should_stop = self._training.should_stop(self._batches) or trainer.should_stop

    def _progress(self, trainer: Any) -> Progress:
        flops = None
        with self._training.guard():
            flops = flops_of(trainer, self._batches)
        with self._training.guard():
            samples, of_data = self._samples.of_ranks(trainer.world_size)
            fraction = fraction_done(trainer, trainer.current_epoch + 1)
            used = patience_used(trainer.callbacks)
            return Progress(fraction, samples, None, used, flops, of_data)
        return Progress()

    def _exit(self, trainer: Any, exception: BaseException | None) -> None:
        self._close(trainer, status_of(exception) if exception is not None else "interrupted")

    def _close(self, trainer: Any, status: str) -> None:
        if not self._training.active:
            return
        self._training.steps.count = self._batches
        self._training.end(status)
        # Evaluations must not continue the curves of the training.
        of = "" if trainer.state.fn == "fit" else f"{trainer.state.fn.value}/"
        self._logs.send(trainer, SLASH_PREFIX + of, self._training.final_metrics())
        if not of:
            self._logs.send_receipt(trainer)
        self._logs.forget_rejections()


class StatefulHooks(LightningHooks):
    __doc__ = LightningHooks.__doc__

    def estimate(
        self,
        trainer: Any,
        model: Any = None,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        *,
        steps: int = 50,
    ) -> TrainingEstimate:
        """Estimate a training by a dry run of some steps on a copy; nothing is saved or logged.

        Args:
            trainer: The Trainer that will train.
            model: As for `Trainer.fit`, likewise the others; by default the Trainer's latest model.
            train_dataloaders: As above.
            val_dataloaders: As above.
            datamodule: As above.
            steps: Batches to train at least.

        Raises:
            CarbonError: A dry run of this training is not possible; the message has the reason.
        """
        from carbon_callbacks._lightning_dry_run import LightningDryRun
        from carbon_callbacks._training.dry_run import estimate

        data = train_dataloaders, val_dataloaders, datamodule
        run = LightningDryRun(trainer, model or trainer.lightning_module, *data)
        return estimate(self._training, steps, run.run, *data)

    @of_trainer
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._training.forget_restored()
        self._training.prepare()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        self._training.restore(state_dict)

    def state_dict(self) -> dict[str, Any]:
        """Return the training so far, for a checkpoint."""
        return self._training.state()


class AutomaticHooks(LightningHooks):
    """The hooks of a callback that every Trainer gets; other callbacks of this package take precedence.

    Lightning allows several of these in one list, because they define no `state_dict`: a program that
    uses its list for two Trainers adds one to it each time.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Check whether another callback measures."""
        self._training.forget_restored()
        others = [one for one in trainer.callbacks if isinstance(one, CallbackBase)]
        listed = any(not isinstance(one, AutomaticHooks) for one in others)
        self._training.disabled = listed or (bool(others) and others[0] is not self)
        if not self._training.disabled:
            self._training.prepare()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Put the training so far where a callback's state is kept."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if state := self._training.state():
            checkpoint.setdefault("callbacks", {})[self.state_key] = state

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Take the state of a checkpoint."""
        state = checkpoint.get("callbacks", {}).get(self.state_key)
        if state and not self._training.disabled:
            self._training.restore(state)
