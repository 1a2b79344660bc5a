"""Callbacks that Lightning adds to every Trainer, if the environment enables them.

The entry points ``lightning.pytorch.callbacks_factory`` and ``pytorch_lightning.callbacks_factory`` are
called whenever a Trainer is created, so that an exception raised here would break all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

VARIABLE = "CARBON_CALLBACKS_AUTO"


def for_lightning() -> list[Any]:
    """Return the callbacks for a Trainer of the package ``lightning``."""
    return _made_for("lightning")


def for_pytorch_lightning() -> list[Any]:
    """Return the callbacks for a Trainer of the package ``pytorch-lightning``."""
    return _made_for("pytorch_lightning")


def _made_for(package: str) -> list[Any]:
    try:
        from carbon_core import process_environment

        if process_environment().get(VARIABLE, "").strip().lower() not in (
            "1",
            "true",
            "yes",
            "on",
        ):
            return []
        adapter = import_module(f"carbon_callbacks.{package}")
        return [adapter.AutomaticCallback(name="auto")]
    except Exception:  # noqa: BLE001 - the program itself does not use this callback
        return []
