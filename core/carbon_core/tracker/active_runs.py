"""The runs that are active in this process; their energy includes that of runs that begin meanwhile."""

from __future__ import annotations

# By id, in the order of their starts. A forked child has those of its parent, which measure it, too.
_active: dict[str, None] = {}


def begin(run_id: str) -> None:
    """Add a run."""
    _active[run_id] = None


def end(run_id: str) -> None:
    """Remove a run."""
    _active.pop(run_id, None)


def active(*, without: str = "") -> tuple[str, ...]:
    """Return the ids of the active runs, the latest first.

    Args:
        without: A run that is left out.
    """
    return tuple(run_id for run_id in reversed(list(_active)) if run_id != without)
