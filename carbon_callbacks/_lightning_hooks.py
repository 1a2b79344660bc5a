"""Lightning's hooks, for both of its packages; told apart only by the base class they are mixed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from carbon_callbacks._lightning_trainer import fraction_done, progress_of
from carbon_callbacks._training.metrics import Progress
from carbon_callbacks._training.training import Training
from carbon_callbacks._training.watching import Watching
from carbon_core import status_of, with_settings

if TYPE_CHECKING:
    from typing_extensions import Self

PREFIX = "carbon/"
MONITORED = ("energy_kwh", "emissions_kg", "epoch_energy_kwh", "epoch_emissions_kg")


@with_settings(Training)
class LightningHooks(Watching):
    """Measures what `Trainer` does, and logs it.

    At the end of each training epoch ``carbon/energy_kwh`` and the like go to ``pl_module.log``, where
    EarlyStopping and ModelCheckpoint can monitor them; at the end the exact totals go to the loggers.
    Checkpoints hold what the training took so far, so that one that resumes adds up.

    Args:
        name: Tells this callback from others in checkpoints; the project's name by default.
        forecast: Whether to log what the whole training will take.
        sync: Whether to wait for the accelerator's queue where a phase ends.
        improvement_of: A metric, such as ``val_loss``: the energy for each unit by which it has become
            better is logged.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        prog_bar: Whether the progress bar shows the energy.
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, *, prog_bar: bool = False, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._prog_bar = prog_bar
        self._saving = False
        self._first_epoch = 0
        self._automatic = False

    @classmethod
    def automatic(cls) -> Self:
        """Return a callback that leaves a Trainer to those that its user gave it."""
        callback = cls(name="auto")
        callback._automatic = True
        return callback

    @property
    def state_key(self) -> str:
        """The key in checkpoints: the same in both packages."""
        return f"EmissionsCallback{{'name': {self._training.name!r}}}"

    # hook                        event

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._training.forget_restored()
        if self._automatic:
            self._training.stands_aside = any(
                isinstance(other, Watching) and other is not self for other in trainer.callbacks
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._training.restore(state_dict)

    def state_dict(self) -> dict[str, Any]:
        return self._training.state()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._training.begin(resumes=True, alone=trainer.world_size == 1)

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("sanity_check")

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("setup")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._first_epoch = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._training.epoch_begin(fraction_done(trainer, trainer.current_epoch))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not self._training.active:
            return
        self._training.improve(trainer.callback_metrics)
        metrics = self._training.epoch_end(self._progress(trainer))
        if self._training.may_stop:
            self._stop_if_spent(trainer)
        # All ranks have the same figures already. Lightning recommends otherwise to have them reduced,
        # for each one in a warning; this pair of arguments asks for neither.
        alike = dict.fromkeys(("sync_dist", "rank_zero_only"), trainer.world_size > 1)
        with self._training.guard():
            for name, value in metrics.items():
                shown = self._prog_bar and name == "energy_kwh"
                pl_module.log(PREFIX + name, value, prog_bar=shown, **alike)
            for name in MONITORED if not metrics else ():
                # Nothing is known: no meter, or another rank measures. A monitor of an absent
                # metric would end the training; so monitors get a 0, and loggers nothing.
                pl_module.log(PREFIX + name, 0.0, logger=False, **alike)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._enter(trainer, "validate")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._training.phase("train")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._enter(trainer, "test")

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self._enter(trainer, "predict")

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        self._training.phase("checkpoint")
        self._saving = True

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        # No hook says that a checkpoint has been written; the next batch does.
        if self._saving:
            self._saving = False
            self._training.phase("train")
        if self._training.may_stop:
            # Several ranks agree now and then, for that costs more than a look; 0 stands for never.
            every = 1 if trainer.world_size == 1 else trainer.log_every_n_steps
            if every and batch_idx % every == 0:
                self._stop_if_spent(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._training.phase("end")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._close(trainer, None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._close(trainer, exception)

    def __iter__(self) -> NoReturn:
        # What a Trainer of the other package asks of a callback that stands alone, not in a list.
        raise TypeError(
            f"{type(self).__module__}.EmissionsCallback alone is for Trainers of its own package: "
            "put it in a list, or import it from the other one of carbon_callbacks.lightning and "
            "carbon_callbacks.pytorch_lightning"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Lightning puts `log` and `log_dict` on its callbacks: bound methods of the whole module.
        injected = ("log", "log_dict")
        return {key: value for key, value in self.__dict__.items() if key not in injected}

    def _enter(self, trainer: Any, phase: str) -> None:
        """Enter a phase, which is a run of its own outside fit."""
        if not self._training.active and trainer.state.fn != "fit":
            self._training.begin(alone=trainer.world_size == 1)
        self._training.phase(phase)

    def _stop_if_spent(self, trainer: Any) -> None:
        """Have the Trainer stop after this batch; with several ranks, each of them must come here."""
        with self._training.guard():
            trainer.should_stop = self._training.should_stop() or trainer.should_stop

    def _progress(self, trainer: Any) -> Progress:
        with self._training.guard():
            return progress_of(trainer, self._first_epoch)
        return Progress()

    def _close(self, trainer: Any, exception: BaseException | None) -> None:
        if not self._training.active:
            return
        self._training.end(status_of(exception))
        with self._training.guard():
            totals = {
                PREFIX + name: value for name, value in self._training.final_metrics().items()
            }
            for logger in trainer.loggers if totals else ():
                logger.log_metrics(totals, step=trainer.global_step)
