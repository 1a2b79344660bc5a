"""Where and when the same energy would have caused fewer emissions: countries, and hours of the day."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

from carbon_callbacks.cli.html.run_data import rounded
from carbon_core.hours import utc
from carbon_core.intensity import tables
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.repricing import finished
from carbon_core.units import kwh

# So many hours of the day need a value: fewer show the runs' own times only.
_LEAST_HOURS = 2


def countries() -> dict[str, Any]:
    """Return the annual average of each country of the shipped tables, lowest first, and its source.

    A country without a figure of its own has that of a neighbour; it is left out.
    """
    known = ((code, name, tables.country(code)) for code, name in tables.known_countries().items())
    found = [(code, one) for code, name, one in known if one is not None and one.place == name]
    rows = [
        [code, one.place, rounded(one.g_per_kwh), rounded(one.sigma_ln, 3), one.year]
        for code, one in sorted(found, key=lambda item: item[1].g_per_kwh)
    ]
    return {"rows": rows, "source": found[0][1].source, "licence": found[0][1].licence}


class BestHours:
    """Collects grid intensities by hour of the day from runs with live data."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[int, dict[str, float]]] = {}

    def add(self, found: Receipt) -> None:
        """Add the hours of a run, if it has live intensities."""
        live = next((one.place for one in found.intensities if one.kind == "live"), None)
        if live is None:
            return
        at_place = self._seen.setdefault(live, defaultdict(dict))
        for hour in finished(found).hours:
            facility_kwh = kwh(hour.joules) * found.run.pue
            if facility_kwh:  # the same hour of several runs has one intensity
                at_place[utc(hour.start).hour][hour.start] = hour.grams / facility_kwh

    @property
    def data(self) -> list[dict[str, Any]]:
        """Mean g/kWh by hour of the day (UTC) of each place, the place with the most hours first."""
        places = sorted(self._seen.items(), key=lambda item: -sum(map(len, item[1].values())))
        return [
            {
                "place": place,
                "hours": [[hour, rounded(fmean(seen[hour].values()))] for hour in sorted(seen)],
                "count": sum(map(len, seen.values())),
            }
            for place, seen in places
            if len(seen) >= _LEAST_HOURS
        ]
