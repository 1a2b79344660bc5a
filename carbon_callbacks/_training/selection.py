"""The metrics that a callback logs, as chosen by the settings `log_metrics` and `progress_bar`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from carbon_callbacks._training.metrics import METRICS, Metric, Topic
from carbon_callbacks._training.totals import Figures

_LEVELS = ("minimal", "standard", "all")
# At the end, `standard` logs all of these once, and the energy of each phase.
_TOTALS: frozenset[Topic] = frozenset({"totals", "segments", "samples", "tokens"})
_MOST_IN_BAR = 2


class Selection:
    """The metrics that are logged.

    Attributes:
        in_bar: Those that the progress bar and the line of an epoch show.

    Args:
        chosen: As `log_metrics`.
        progress_bar: As that setting.
    """

    def __init__(self, chosen: str | Sequence[str], *, progress_bar: bool = True) -> None:
        self._names = frozenset([chosen] if isinstance(chosen, str) else chosen)
        self._level = max((_LEVELS.index(one) for one in self._names & {*_LEVELS}), default=-1)
        logged = [metric for metric in METRICS if self._has(metric)]
        self._logged = frozenset(metric.name for metric in logged)
        minimal = [metric for metric in logged if metric.level == "minimal"]
        shown = (minimal or logged)[:_MOST_IN_BAR] if progress_bar else ()
        self.in_bar = frozenset(metric.name for metric in shown)

    def of(self, figures: Figures) -> Figures:
        """Return the chosen ones of some metrics."""
        return {name: value for name, value in figures.items() if name in self._logged}

    def at_end(self, figures: Figures) -> Figures:
        """Return those that the last log of a training has: with `standard`, all totals."""
        logged = self._logged | self._names
        if self._level >= _LEVELS.index("standard"):
            topics = {metric.name: metric.topic for metric in METRICS}
            logged |= {name for name in figures if topics.get(name, "totals") in _TOTALS}
        return {name: value for name, value in figures.items() if name in logged}

    def has(self, topic: Topic) -> bool:
        """Return whether any metric of a topic is chosen."""
        return any(one.topic == topic and one.name in self._logged for one in METRICS)

    def names(self, without: Iterable[Topic]) -> list[str]:
        """Return the names that are chosen.

        Args:
            without: Topics whose metrics are never known.
        """
        out = frozenset(without)
        return [one.name for one in METRICS if one.name in self._logged and one.topic not in out]

    def _has(self, metric: Metric) -> bool:
        # What has an argument of its own is logged in any case.
        is_asked_for = metric.topic == "improvement" or metric.name in self._names
        return is_asked_for or _LEVELS.index(metric.level) <= self._level
