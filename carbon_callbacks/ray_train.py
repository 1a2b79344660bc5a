"""`EmissionsCallback` for the workers of Ray Train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_callbacks._training.loop import LoopCallback
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from ray.train import get_context
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]


@with_settings(Training)
class EmissionsCallback(LoopCallback):
    """Measures the loop of a worker of Ray Train; the workers' totals are added up.

    Each worker makes one, in the function that Ray Train calls: ``with EmissionsCallback() as energy:``
    around the loop, and ``ray.train.report(energy.with_metrics({"loss": loss}))``. The first worker of a
    node counts it, and a `TorchTrainer` connects the workers, so that all report the same totals.

    Args:
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them; a
            relative ``output_dir`` is within the directory that Ray gives the worker.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)

    def _ranks(self) -> int:
        return int(get_context().get_world_size())
