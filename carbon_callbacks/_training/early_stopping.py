"""Early stopping by a framework's own callback, recognised by its class's name: nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Evaluations without improvement, and how many of them end the training.
_ATTRIBUTES = {
    "EarlyStopping": (
        ("wait_count", "patience"),
        ("wait", "patience"),
        ("current_rounds", "rounds"),
    ),
    "EarlyStoppingCallback": (("early_stopping_patience_counter", "early_stopping_patience"),),
}


def patience_used(callbacks: Iterable[Any]) -> float | None:
    """Return how near early stopping is: 0 after an improvement, 1 as it stops; None without it.

    Args:
        callbacks: All callbacks of a training.
    """
    return max((part for one in callbacks if (part := _used(one)) is not None), default=None)


def _used(callback: Any) -> float | None:
    names = [cls.__name__ for cls in type(callback).__mro__]
    for waited, patience in (pair for name in names for pair in _ATTRIBUTES.get(name, ())):
        try:
            count, limit = getattr(callback, waited, None), getattr(callback, patience, None)
        except Exception:  # noqa: BLE001 - a user's property may raise anything
            return None
        if isinstance(count, (int, float)) and isinstance(limit, (int, float)):
            return min(1.0, count / max(1, limit))
    return None
