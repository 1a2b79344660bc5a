"""The exceptions of the package.

    CarbonError
    ├── ConfigError          a setting is wrong (also a ValueError)
    ├── MeterError           a meter cannot be used or read
    ├── IntensityError       a grid-intensity source returned no valid value
    └── OutputError          a result could not be written or delivered

Errors of other libraries are converted to these where they occur, with ``raise … from``.
"""

from __future__ import annotations


class CarbonError(Exception):
    """Base class of all errors of this package."""


class ConfigError(CarbonError, ValueError):
    """A setting is invalid.

    Attributes:
        key: The setting; None if a whole source is invalid.
        origin: The source of the value, as text.
    """

    def __init__(self, message: str, *, key: str | None = None, origin: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.origin = origin


class MeterError(CarbonError):
    """A meter cannot be used on this machine.

    Attributes:
        reason: What was tried and how it failed.
        remedy: How a user can fix it, or an empty string.
        by_choice: Whether the user's settings or variables select no device of it.
    """

    def __init__(self, reason: str, *, remedy: str = "", by_choice: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.by_choice = by_choice


class IntensityError(CarbonError):
    """A grid-intensity source returned no valid value.

    Attributes:
        retry_after_s: Delay in seconds that the source set with ``Retry-After``; None if it set none.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutputError(CarbonError):
    """A result could not be written or delivered.

    Attributes:
        retry_after_s: Delay in seconds that a service set with ``Retry-After``; None if it set none.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
