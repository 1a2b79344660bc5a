"""`EmissionsCallback` for Trainers of the package ``pytorch-lightning``."""

from __future__ import annotations

from carbon_callbacks._lightning_hooks import LightningHooks

try:
    from pytorch_lightning import Callback
except ImportError as error:
    raise ImportError(
        "carbon_callbacks.pytorch_lightning needs the package pytorch-lightning: "
        "pip install 'carbon-callbacks[pytorch-lightning]'"
    ) from error

__all__ = ["EmissionsCallback"]


class EmissionsCallback(LightningHooks, Callback):  # pyright: ignore[reportGeneralTypeIssues]
    __doc__ = LightningHooks.__doc__
