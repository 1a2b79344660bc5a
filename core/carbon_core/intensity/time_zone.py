"""The machine's time zone, and its country where that is certain.

A zone of the tz database belongs to one country (its ``zone.tab``); ``UTC``, ``Etc/GMT+5`` or ``CET``
belong to none.
"""

from __future__ import annotations

import re
from pathlib import Path

from carbon_core.data import rows
from carbon_core.system_files import text_in

_FOLDER = "zoneinfo/"
_NAME = re.compile(r"[A-Za-z0-9_+/-]{1,64}")


def machine_time_zone(root: Path, variable: str | None) -> str | None:
    """Return the name of the machine's time zone, or None where it is unknown.

    Args:
        root: Directory that holds ``etc``.
        variable: Value of the variable ``TZ``, or None when it is unset.
    """
    if variable:
        return _name(variable.removeprefix(":"))
    return _from_text(root / "etc/timezone") or _from_link(root / "etc/localtime")


def country_of(time_zone: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a time zone's country, or None."""
    for row in rows("time_zone"):
        if row["time_zone"] == time_zone:
            return row["iso2"]
    return None


def _from_text(path: Path) -> str | None:
    return _valid(text_in(path))


def _from_link(path: Path) -> str | None:
    try:
        return _name(str(path.readlink()))
    except (OSError, ValueError):
        return None


def _name(path: str) -> str | None:
    """Return the zone's name within the path of its file."""
    return _valid(path.rpartition(_FOLDER)[2].removeprefix("posix/").removeprefix("right/"))


def _valid(name: str) -> str | None:
    """Return a name that a zone may have, else None."""
    return name if _NAME.fullmatch(name) else None
