"""The parts of a callback, for other frameworks and custom loops (docs/your-own-framework.md).

The adapters of this package use them, too. Importing this module loads no framework.
"""

from __future__ import annotations

from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.metrics import METRICS, Metric
from carbon_callbacks._training.totals import Measured, Progress, TrainingTotals
from carbon_callbacks._training.training import Training

__all__ = [
    "METRICS",
    "CallbackBase",
    "Measured",
    "Metric",
    "Progress",
    "Training",
    "TrainingTotals",
    "wrap_method",
]
