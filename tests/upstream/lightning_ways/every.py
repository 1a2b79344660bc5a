"""Every way of using a Trainer of Lightning."""

from upstream.lightning_ways import (  # noqa: F401 - each adds its ways to the table
    checkpoints,
    failures,
    logging,
    loops,
    optimisation,
    reuse,
)
from upstream.lightning_ways.trainers import WAYS, Lightning

__all__ = ["WAYS", "Lightning"]
