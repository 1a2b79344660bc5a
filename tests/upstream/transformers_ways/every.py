"""Every way of using the Trainer of transformers."""

from upstream.transformers_ways import (  # noqa: F401 - each adds its ways to the table
    checkpoints,
    failures,
    loops,
    membership,
    methods,
    reporters,
    reuse,
    searches,
    subclasses,
    surroundings,
    values,
)
from upstream.transformers_ways.trainers import WAYS, Transformers

__all__ = ["WAYS", "Transformers"]
