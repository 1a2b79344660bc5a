"""Waits for the queue of the accelerator where a phase ends, so that its energy is counted there."""

from __future__ import annotations

import sys


def drain_devices() -> bool:
    """Wait for the work that an accelerator has queued; return whether there is an accelerator.

    Does nothing unless the program itself has loaded the framework and used the accelerator.
    """
    return _drain_torch() or _drain_jax()


def _drain_torch() -> bool:
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
        return True
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_available() and xpu.is_initialized():
        xpu.synchronize()
        return True
    if torch.backends.mps.is_available():
        torch.mps.synchronize()
        return True
    return False


def _drain_jax() -> bool:
    """Wait for a computation that is queued behind the others; it uses the memory of one number."""
    jax = sys.modules.get("jax")
    if jax is None or jax.default_backend() == "cpu":
        return False
    for device in jax.local_devices():
        (jax.device_put(0.0, device) + 0).block_until_ready()
    return True
