"""`EmissionsCallback` for Trainers of the package ``lightning``."""

from __future__ import annotations

from carbon_callbacks._lightning_hooks import LightningHooks

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError(
        "carbon_callbacks.lightning needs the package lightning: "
        "pip install 'carbon-callbacks[lightning]'"
    ) from error

__all__ = ["EmissionsCallback"]


class EmissionsCallback(LightningHooks, Callback):
    __doc__ = LightningHooks.__doc__
