"""Puts the parts together from settings; the facade that adapters, command line and users import."""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from typing import Any

    from carbon_core.assemble.decorator import track_emissions
    from carbon_core.assemble.tasks import TaskEmissionsTracker, track_task_emissions
    from carbon_core.assemble.trackers import EmissionsTracker, OfflineEmissionsTracker

__all__ = [
    "EmissionsTracker",
    "OfflineEmissionsTracker",
    "TaskEmissionsTracker",
    "track_emissions",
    "track_task_emissions",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import carbon_core

    value = getattr(carbon_core, name)
    globals()[name] = value
    return value
