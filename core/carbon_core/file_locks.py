"""File locks for processes that use the same directory; the only module that imports `filelock`."""

from __future__ import annotations

from filelock import FileLock, Timeout

from carbon_core.threads import without_log_records

__all__ = ["FileLock", "Timeout"]

without_log_records("filelock")
