"""Every way of using a model of Keras."""

from upstream.keras_ways import (  # noqa: F401 - each adds its ways to the table
    copies,
    data,
    failures,
    loops,
    others,
    searches,
    within,
)
from upstream.keras_ways.models import WAYS, Keras

__all__ = ["WAYS", "Keras"]
