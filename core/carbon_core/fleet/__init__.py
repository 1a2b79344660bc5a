"""Tables of many runs for SQL: runs, their phases and devices (``carbon-callbacks export``)."""

from __future__ import annotations

from pathlib import Path


def is_export(path: Path) -> bool:
    """Return whether a directory has an export in Parquet."""
    return next(path.glob("runs/month=*/*.parquet"), None) is not None
