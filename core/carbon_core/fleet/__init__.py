"""Tables of many runs for SQL: runs, their phases and devices (``carbon-callbacks export``)."""

from __future__ import annotations

import os
from pathlib import Path


def is_export(path: Path) -> bool:
    """Return whether a directory has an export in Parquet."""
    # `Path.glob` may raise, such as for a long name.
    return os.path.isdir(path) and any(path.glob("runs/month=*/*.parquet"))  # noqa: PTH112
