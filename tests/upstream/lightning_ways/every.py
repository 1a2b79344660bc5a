"""Every way of using a Trainer of Lightning."""

from upstream.lightning_ways import loops  # noqa: F401 - adds its ways to the table
from upstream.lightning_ways.trainers import WAYS, Lightning

__all__ = ["WAYS", "Lightning"]
