"""Finds the earlier fit that a Keras fit continues if it begins at a later epoch.

Keras gives a fit no id. A model that is trained again in this process continues its own fits; a trial of
KerasTuner names the trial whose weights it loads; any other fit only continues one that did not
complete, as with `BackupAndRestore`.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple


class Trial(NamedTuple):
    """A trial of KerasTuner.

    Attributes:
        trial_id: Its id; None outside of a search.
        parent_id: Id of the trial whose weights it loads, if any.
    """

    trial_id: str | None = None
    parent_id: str | None = None


def current_trial() -> Trial:
    """Return the trial that a hook is called in, from a callback that KerasTuner adds."""
    # The list calls the hook, which calls this. Frames of the program are not inspected: Python would
    # keep their variables until they return.
    callbacks = getattr(sys._getframe(2).f_locals.get("self"), "callbacks", None)
    for callback in callbacks if isinstance(callbacks, list) else ():
        trial: Any = getattr(callback, "trial", None)
        values = getattr(getattr(trial, "hyperparameters", None), "values", None)
        if isinstance(values, dict) and hasattr(trial, "trial_id"):
            return Trial(str(trial.trial_id), values.get("tuner/trial_id"))
    return Trial()
