"""Puts the parts together from settings; the facade that adapters, command line and users import."""

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
