"""Every error the package raises on purpose.

    CarbonError
    ├── ConfigError          a setting is wrong (also a ValueError)
    ├── MeterError           a meter cannot be used or read
    ├── IntensityError       a grid-intensity source gave no usable value
    └── OutputError          a result could not be written or delivered

Errors of other libraries are translated where they enter, with ``raise … from``.
"""

from __future__ import annotations


class CarbonError(Exception):
    """Base of all errors of this package."""


class ConfigError(CarbonError, ValueError):
    """A setting has a value that cannot be used.

    Attributes:
        key: The setting, or None when a whole source is at fault.
        origin: Where the value came from, in words.
    """

    def __init__(self, message: str, *, key: str | None = None, origin: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.origin = origin


class MeterError(CarbonError):
    """A meter cannot be used on this machine.

    Attributes:
        reason: What was tried and what was found.
        remedy: What a user can do about it, or an empty string.
    """

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class IntensityError(CarbonError):
    """A grid-intensity source gave no usable value.

    Attributes:
        retry_after_s: How long the source asked to be left alone, in seconds; None when it did not.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutputError(CarbonError):
    """A result could not be written or delivered.

    Attributes:
        retry_after_s: How long a service asked to be left alone, in seconds; None when it did not.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
