"""Finds the earlier fit that a Keras fit continues if it begins at a later epoch.

Keras gives a fit no id. A model that is trained again in this process continues its own fits; a trial of
KerasTuner names the trial whose weights it loads; any other fit only continues one that did not
complete, as with `BackupAndRestore`.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from carbon_core import Segment

# By identity: models may compare as equal.
_fits: list[tuple[weakref.ref[Any], tuple[Segment, ...]]] = []


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


def note_fit(model: Any, segments: Sequence[Segment]) -> None:
    """Keep the segments of a model's fit for as long as the model exists."""
    _fits[:] = [(one, kept) for one, kept in _fits if one() is not None and one() is not model]
    if model is not None:
        _fits.append((weakref.ref(model), tuple(segments)))


def segments_of_model(model: Any) -> tuple[Segment, ...]:
    """Return the segments of the latest fit of a model, with those that it continued."""
    return next((kept for one, kept in _fits if model is not None and one() is model), ())
