"""What libraries on Keras have in common: the log of a fit."""

from collections.abc import Mapping
from typing import Any

import torch

torch.set_num_threads(1)


def entries_of(history: Any) -> list[Mapping[str, Any]]:
    """Return the entries of a fit's history, one for each epoch."""
    columns = history.history
    return [dict(zip(columns, row)) for row in zip(*columns.values())]
