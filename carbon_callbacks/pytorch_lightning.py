"""`EmissionsCallback` for Trainers of the package ``pytorch-lightning``."""

from __future__ import annotations

from carbon_callbacks._lightning_hooks import AutomaticHooks, StatefulHooks, wrap_trainer

try:
    from pytorch_lightning import Callback, Trainer
    from pytorch_lightning.callbacks import ProgressBar
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

wrap_trainer(Trainer, ProgressBar)


class EmissionsCallback(StatefulHooks, Callback):  # pyright: ignore[reportGeneralTypeIssues]
    __doc__ = StatefulHooks.__doc__


class AutomaticCallback(AutomaticHooks, Callback):  # pyright: ignore[reportGeneralTypeIssues]
    __doc__ = AutomaticHooks.__doc__
