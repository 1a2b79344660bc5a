"""Energy use and emissions of training runs, in the logger you use.

The callbacks are in `carbon_callbacks.lightning`, `carbon_callbacks.pytorch_lightning`,
`carbon_callbacks.transformers` and `carbon_callbacks.keras`, their parts for other frameworks in
`carbon_callbacks.training`; the names below need no framework.
Importing this module loads no framework and no meter, and has no side effects.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from typing import Any

    from carbon_core import (
        CarbonError,
        ConfigError,
        EmissionsData,
        EmissionsTracker,
        OfflineEmissionsTracker,
        OutputMethod,
        Report,
        TaskEmissionsTracker,
        track_emissions,
        track_task_emissions,
    )

__all__ = [
    "CarbonError",
    "ConfigError",
    "EmissionsData",
    "EmissionsTracker",
    "OfflineEmissionsTracker",
    "OutputMethod",
    "Report",
    "TaskEmissionsTracker",
    "track_emissions",
    "track_task_emissions",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from carbon_core.version import VERSION

        return VERSION
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import carbon_core

    value = getattr(carbon_core, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
