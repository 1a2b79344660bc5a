"""Starts Ray, whose processes have 30 s to find each other, which a busy machine may take."""

from __future__ import annotations

import ray

_ATTEMPTS = 4


def start_ray() -> None:
    """Start a Ray of two processors, again where its own processes were too slow."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            ray.init(
                num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
            )
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
        else:
            return
