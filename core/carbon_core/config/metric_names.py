"""Names that the setting `log_metrics` accepts: levels, and the metrics of the callbacks.

The callbacks' package registers its table, because the core does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LEVELS = ("minimal", "standard", "all")
# Names may be written as they are logged, too.
_PREFIXES = ("carbon/", "carbon_")
_PHASE = ("phase_", "_energy_kwh")
_LONGEST_SHOWN = 60
_tables: list[Callable[[], Iterable[str]]] = []


def register_metrics(names: Callable[[], Iterable[str]]) -> None:
    """Add a table of metrics.

    Args:
        names: Returns their names; called for each value, so that a row added later counts.
    """
    _tables.append(names)


def plain_name(name: str) -> str:
    """Return the name of a level or a metric as in its table.

    Raises:
        ValueError: There is none of this name.
    """
    written = name.strip()
    if written.lower() in LEVELS:
        return written.lower()
    for prefix in _PREFIXES:
        written = written.removeprefix(prefix)
    known = _known()
    is_phase = written.startswith(_PHASE[0]) and written.endswith(_PHASE[1])
    if not written or (known and written not in known and not is_phase):
        raise ValueError(name)
    return written


def hint(names: Iterable[str]) -> str:
    """Return the first name that is unknown, with a similar one that exists, as the end of a message."""
    from difflib import get_close_matches  # for messages about mistakes only

    for name in names:
        try:
            plain_name(name)
        except ValueError:
            short = name.strip()[:_LONGEST_SHOWN]
            found = get_close_matches(short, [*LEVELS, *_known()], n=3, cutoff=0.5)
            similar = f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
            return f"; there is no metric {short!r}{similar}"
    return ""


def _known() -> list[str]:
    return [name for table in _tables for name in table()]
