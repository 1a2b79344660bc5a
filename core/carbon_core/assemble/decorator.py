"""``@track_emissions``: a tracker around each call of a function, coroutine or generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from carbon_core.assemble.calls import with_context
from carbon_core.assemble.trackers import EmissionsTracker, OfflineEmissionsTracker
from carbon_core.config.signature import function_with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_core.config.arguments import SettingArguments

_Function = TypeVar("_Function", bound=Callable[..., Any])


@overload
def track_emissions(function: _Function) -> _Function: ...


@overload
def track_emissions(
    function: None = None, *, offline: bool = False, **overrides: Unpack[SettingArguments]
) -> Callable[[_Function], _Function]: ...


@function_with_settings
def track_emissions(
    function: _Function | None = None,
    *,
    offline: bool = False,
    **overrides: Unpack[SettingArguments],
) -> _Function | Callable[[_Function], _Function]:
    """Measure each call of a function; that of a generator from its first value to its end.

    Args:
        function: The function, when used without parentheses.
        offline: Never request a live source.
        **overrides: Settings of the tracker.

    Raises:
        ConfigError: A setting is wrong; when the function is decorated, not when it is called.
    """
    kind = OfflineEmissionsTracker if offline else EmissionsTracker
    # Made here, so that a wrong setting shows where it is written; each call runs a copy.
    template = kind(**overrides)

    def decorate(wrapped: _Function) -> _Function:
        return with_context(wrapped, lambda: copy.copy(template))

    return decorate(function) if function is not None else decorate
