"""Which earlier fit a Keras fit continues that begins at a later epoch.

Keras hands its callbacks no identity. A model that is trained on in this process is its own; a trial of
KerasTuner names the trial whose weights it takes over; anything else continues only a fit that did not
end by itself, as `BackupAndRestore` does.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from carbon_core import Segment

# By identity: models may compare as equal.
_fits: list[tuple[weakref.ref[Any], tuple[Segment, ...]]] = []


class Trial(NamedTuple):
    """A trial of KerasTuner.

    Attributes:
        trial_id: Its id; None outside of a search.
        parent_id: Id of the trial whose weights it takes over, if any.
    """

    trial_id: str | None = None
    parent_id: str | None = None


def current_trial() -> Trial:
    """Return the trial that a hook is called in: KerasTuner lists a callback that has it."""
    # The list calls the hook, which calls this. Frames of the user's program are not touched: Python
    # would keep what they have in variables until they return.
    callbacks = getattr(sys._getframe(2).f_locals.get("self"), "callbacks", None)
    for callback in callbacks if isinstance(callbacks, list) else ():
        trial: Any = getattr(callback, "trial", None)
        values = getattr(getattr(trial, "hyperparameters", None), "values", None)
        if isinstance(values, dict) and hasattr(trial, "trial_id"):
            return Trial(str(trial.trial_id), values.get("tuner/trial_id"))
    return Trial()


def note_fit(model: Any, segments: Sequence[Segment]) -> None:
    """Keep what a model's fit has measured, for as long as the model lives."""
    _fits[:] = [(one, kept) for one, kept in _fits if one() is not None and one() is not model]
    if model is not None:
        _fits.append((weakref.ref(model), tuple(segments)))


def segments_of_model(model: Any) -> tuple[Segment, ...]:
    """Return what the earlier fits of a model have measured, the latest with all that it continued."""
    return next((kept for one, kept in _fits if model is not None and one() is model), ())
