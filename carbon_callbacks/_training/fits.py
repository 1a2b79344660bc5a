"""The segments of models that were trained in this process; one that is trained again continues them."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carbon_core import Segment

# By identity: models may compare as equal.
_fits: list[tuple[weakref.ref[Any], tuple[Segment, ...]]] = []


def note_fit(model: Any, segments: Sequence[Segment]) -> None:
    """Keep the segments of a model's fit for as long as the model exists.

    Args:
        model: A model; a table of results, such as that of a cross-validation, is continued by nothing.
        segments: Its segments.
    """
    _fits[:] = [(one, kept) for one, kept in _fits if one() is not None and one() is not model]
    if model is not None:
        with contextlib.suppress(TypeError):  # a dict has no weak references
            _fits.append((weakref.ref(model), tuple(segments)))


def segments_of_model(model: Any) -> tuple[Segment, ...]:
    """Return the segments of the latest fit of a model, with those that it continued."""
    return next((kept for one, kept in _fits if model is not None and one() is model), ())
