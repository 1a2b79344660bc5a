"""Human-readable figures and times: a unit that suits the size, three significant digits.

Files, metrics and JSON keep their documented unit; this is for terminals, log lines, notebooks and the
HTML report. Unknown (None, NaN, infinite) is "unknown", zero is "0 Wh", and no figure has an exponent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from carbon_core.limits import time_of

if TYPE_CHECKING:
    from carbon_core.records import Estimate

UNKNOWN = "unknown"

# Names and sizes of units, from small to large.
_Units = Sequence[tuple[str, float]]
_ENERGY: _Units = (("µWh", 1e-9), ("mWh", 1e-6), ("Wh", 1e-3), ("kWh", 1.0), ("MWh", 1e3))
_EMISSIONS: _Units = (("mg CO2e", 1e-6), ("g CO2e", 1e-3), ("kg CO2e", 1.0), ("t CO2e", 1e3))
_POWER: _Units = (("mW", 1e-3), ("W", 1.0), ("kW", 1e3), ("MW", 1e6))
_DURATION: _Units = (("ms", 1e-3), ("s", 1.0))
# Of each, the unit of zero.
_PLAIN = ("Wh", "g CO2e", "W", "s")
_MINUTE_S, _HOUR_S = 60, 3600
# Of so many hours, minutes are below the third digit.
_MANY_HOURS = 100
# Of its unit: less than that is noise, and its zeros are not readable.
_LEAST = 1e-3
_MOST_DIGITS, _LEAST_DIGITS = 3, 2


def energy(kwh: float | None, digits: int = _MOST_DIGITS) -> str:
    """Return an energy given in kWh, such as "12.3 Wh".

    Args:
        kwh: The energy.
        digits: Significant digits; more than three only where no file has the figure.
    """
    return _figure(kwh, _ENERGY, digits)


def emissions(kg: float | None, digits: int = _MOST_DIGITS) -> str:
    """Return emissions given in kg CO2e, such as "4.56 g CO2e"; as `energy` otherwise."""
    return _figure(kg, _EMISSIONS, digits)


def power(w: float | None) -> str:
    """Return a power given in watts, such as "250 W"."""
    return _figure(w, _POWER)


def duration(seconds: float | None) -> str:
    """Return a duration given in seconds, such as "320 ms", "16.2 s" or "1 h 5 min"."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if _rounded(abs(seconds)) < _MINUTE_S:
        return _figure(seconds, _DURATION)
    sign, whole_s = "-" if seconds < 0 else "", round(abs(seconds))
    minutes = round(whole_s / _MINUTE_S)
    if whole_s < _HOUR_S:
        return sign + _joined((whole_s // _MINUTE_S, "min"), (whole_s % _MINUTE_S, "s"))
    hours = minutes // 60
    if hours < _MANY_HOURS:
        return sign + _joined((hours, "h"), (minutes % 60, "min"))
    return f"{sign}{formatted(whole_s / _HOUR_S)} h"


def energy_range(low: float | None, high: float | None) -> str:
    """Return a range of energies given in kWh, with one unit: "0.09 to 1.49 Wh"."""
    return _range(low, high, _ENERGY)


def emissions_range(low: float | None, high: float | None) -> str:
    """Return a range of emissions given in kg CO2e, with one unit: "0.09 to 1.49 g CO2e"."""
    return _range(low, high, _EMISSIONS)


def energy_interval(kwh: Estimate, label: str = "") -> str:
    """Return an energy in kWh with its 95 % interval in the same unit: "0.37 Wh (0.09 to 1.49)".

    Args:
        kwh: The energy.
        label: Put before the interval, where nothing else names it.
    """
    return _interval(kwh, _ENERGY, label)


def emissions_interval(kg: Estimate, label: str = "") -> str:
    """Return emissions in kg CO2e with their 95 % interval; as `energy_interval` otherwise."""
    return _interval(kg, _EMISSIONS, label)


def formatted(value: float | None, digits: int = _MOST_DIGITS) -> str:
    """Return a number with three significant digits, for a figure whose unit is fixed, as g/kWh."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _number(value, digits) if value else "0"


def local_time(utc: datetime | str | None) -> str:
    """Return an instant in the reader's time zone, which is named: "2026-11-28 20:50 CET".

    Args:
        utc: The instant, or its ISO text as files have it; without a zone it is UTC.
    """
    try:
        instant = time_of(utc) if isinstance(utc, str) else utc
        if instant is None:
            return UNKNOWN
        instant = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
        local = instant.astimezone()
    except (ValueError, OverflowError, OSError):  # a file's text, or a year that the system rejects
        return UNKNOWN
    zone = local.tzname() or ""
    # Zones without an abbreviation are named by their offset alone.
    zone = f"UTC{zone}" if zone[:1] in {"", "+", "-"} else zone
    return f"{local:%Y-%m-%d %H:%M} {zone}"


def _figure(value: float | None, units: _Units, digits: int = _MOST_DIGITS) -> str:
    if value is None or not math.isfinite(value):
        return UNKNOWN
    name, size = _unit(value, units)
    return f"{_in_unit(value, size, digits)} {name}"


def _range(low: float | None, high: float | None, units: _Units) -> str:
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return UNKNOWN
    finite = [one for one in (low, high) if math.isfinite(one)]
    if not finite:
        return UNKNOWN
    name, size = _unit(max(finite, key=abs), units)
    if len(finite) == 1:
        return f"{_in_unit(finite[0], size)} {name} or {'more' if math.isinf(high) else 'less'}"
    return f"{_ends(low, high, size)} {name}"


def _interval(estimate: Estimate, units: _Units, label: str) -> str:
    if not all(map(math.isfinite, estimate)):
        return _figure(estimate.value, units)
    name, size = _unit(max(estimate, key=abs), units)
    value, ends = _in_unit(estimate.value, size), _ends(estimate.low, estimate.high, size)
    return f"{value} {name}" if ends == value else f"{value} {name} ({label}{ends})"


def _unit(value: float, units: _Units) -> tuple[str, float]:
    """Return the largest unit of which a figure has at least one, when it is rounded."""
    if not value:
        return next(unit for unit in units if unit[0] in _PLAIN)
    # A quotient such as 0.0003 / 1e-6 may be a hair below what it should be.
    fits = [unit for unit in units if _rounded(abs(value) / unit[1]) >= 1.0]
    return fits[-1] if fits else units[0]


def _in_unit(value: float, size: float, digits: int = _MOST_DIGITS) -> str:
    if value and abs(value / size) < _LEAST:
        return f"less than {_LEAST}" if value > 0 else f"more than -{_LEAST}"
    return formatted(value / size, digits)


def _ends(low: float, high: float, size: float) -> str:
    """Return both ends of a range with the decimals of the larger one, which has three digits."""
    decimals = _decimals(max(low, high, key=abs) / size, _MOST_DIGITS)
    texts = [_end(one / size, decimals) for one in (low, high)]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"


def _end(value: float, decimals: int) -> str:
    if not value:
        return "0"
    needed = _decimals(value, _LEAST_DIGITS)
    if abs(value) < _LEAST or needed <= decimals:
        text = f"{_rounded(value):.{decimals}f}"
        return text if float(text) else "0"
    whole, _, digits = _number(value, _LEAST_DIGITS).partition(".")
    return f"{whole}.{digits[:decimals]}{digits[decimals:].rstrip('0')}".rstrip(".")


def _number(value: float, digits: int = _MOST_DIGITS) -> str:
    return f"{_rounded(value, digits):.{_decimals(value, digits)}f}"


def _rounded(value: float, digits: int = _MOST_DIGITS) -> float:
    return float(f"{value:.{digits - 1}e}")


def _decimals(value: float, digits: int) -> int:
    """Return how many decimals a number needs for its significant digits, once it is rounded."""
    return max(0, digits - 1 - int(f"{value:.{digits - 1}e}".partition("e")[2]))


def _joined(*parts: tuple[int, str]) -> str:
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
