"""The metrics that a training logged last, for its receipt: accuracy beside energy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_MOST = 50
_LONGEST = 100
# This package's own figures, and what frameworks log about time and progress: no quality of a model.
_NO_METRIC = re.compile(
    r"carbon|^(epoch|step|lr|learning_rate|total_flos|grad_norm|num_(input_)?tokens(_seen)?|train_loss_step)$"
    r"|^lr-|_runtime$|_per_second$|_model_preparation_time$"
)


class LoggedMetrics:
    """The last value of each metric.

    Values are converted at the end: that of a tensor on a GPU would be waited for.
    """

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}

    def note(self, metrics: Mapping[str, Any]) -> None:
        """Note the metrics of a log entry; those beyond the fiftieth are dropped."""
        for name, value in metrics.items():
            if name in self._latest or (len(self._latest) < _MOST and not _NO_METRIC.search(name)):
                self._latest[name] = value

    @property
    def names(self) -> list[str]:
        """Names of the metrics."""
        return list(self._latest)

    def values(self) -> dict[str, float]:
        """Return the finite numbers among them by name."""
        found = ((name[:_LONGEST], _number(value)) for name, value in self._latest.items())
        return {name: value for name, value in found if value is not None}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):  # text, or a tensor of several values
        return None
    return number if math.isfinite(number) else None
