"""The status of a run that ends with an exception."""

from __future__ import annotations


def status_of(error: BaseException | None) -> str:
    """Return the status of a run that ended with an exception, or without one.

    A trial that Optuna has pruned raises `optuna.TrialPruned`, which is not a failure. The class
    is recognised by its name, so that Optuna need not be installed.
    """
    if error is None:
        return "completed"
    if any(_is_pruning(kind) for kind in type(error).__mro__):
        return "pruned"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _is_pruning(kind: type) -> bool:
    return kind.__name__ == "TrialPruned" and kind.__module__.partition(".")[0] == "optuna"
