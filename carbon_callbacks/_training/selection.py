"""The metrics that a callback logs, as chosen by its argument ``metrics``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from carbon_callbacks._training.metrics import ENERGY_PER_IMPROVEMENT, METRICS, Topic
from carbon_callbacks._training.totals import Figures
from carbon_core import ConfigError


class Selection:
    """The metrics that are logged.

    Args:
        metrics: ``"brief"`` (those that matter most), ``"all"``, or the names of some.

    Raises:
        ConfigError: A name is unknown.
    """

    def __init__(self, metrics: str | Sequence[str] = "brief") -> None:
        names = tuple(one.name for one in METRICS)
        known = {"brief": tuple(one.name for one in METRICS if one.brief), "all": names}
        chosen = known.get(metrics) if isinstance(metrics, str) else tuple(metrics)
        unknown = [name for name in chosen or () if name not in names]
        if chosen is None or unknown:
            what = repr(metrics) if chosen is None else ", ".join(map(repr, unknown))
            raise ConfigError(
                f"metrics must be 'brief', 'all', or a list of {', '.join(names)}; got {what}"
            )
        # What has an argument of its own, or no fixed name, is logged in any case.
        self._hidden = frozenset(names) - frozenset(chosen) - {ENERGY_PER_IMPROVEMENT}

    def of(self, figures: Figures) -> Figures:
        """Return the chosen ones of some metrics."""
        return {name: value for name, value in figures.items() if name not in self._hidden}

    def has(self, topic: Topic) -> bool:
        """Return whether any metric of a topic is chosen."""
        return any(m.topic == topic and m.name not in self._hidden for m in METRICS)

    def names(self, without: Iterable[Topic]) -> list[str]:
        """Return the names that are chosen.

        Args:
            without: Topics whose metrics are never known.
        """
        out = frozenset(without)
        return [m.name for m in METRICS if m.name not in self._hidden and m.topic not in out]
