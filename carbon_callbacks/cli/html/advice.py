"""What would make the results more certain: remedies of meters that are not used, and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from carbon_core.outputs.receipt_reading import Receipt

_MOST = 12
_NO_REMEDY = {"", "none"}
_MODELS = ("D", "E")


class Advice(NamedTuple):
    """One way to a better result.

    Attributes:
        about: The component or the input that it concerns.
        reason: What was found.
        remedy: What to do.
        runs: Number of runs that it concerns.
    """

    about: str
    reason: str
    remedy: str
    runs: int


class Adviser:
    """Collects advice from runs, each kind once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], float] = {}
        self._runs: dict[tuple[str, str, str], int] = {}

    def add(self, found: Receipt) -> None:
        """Add the advice for a run."""
        for key, weight in _advice(found):
            self._found[key] = self._found.get(key, 0.0) + weight
            self._runs[key] = self._runs.get(key, 0) + 1

    @property
    def advice(self) -> list[Advice]:
        """What concerns most of the energy first."""
        keys = sorted(self._found, key=lambda key: -self._found[key])
        return [Advice(*key, self._runs[key]) for key in keys[:_MOST]]


def _advice(found: Receipt) -> Iterable[tuple[tuple[str, str, str], float]]:
    """Yield what concerns a run, each with the energy that it concerns as its weight."""
    modelled = {
        name: sum(
            one.joules for one in found.devices if one.component == name and one.grade in _MODELS
        )
        for name in {one.component for one in found.refused_meters}
    }
    for one in found.refused_meters:
        if one.remedy.strip().lower() not in _NO_REMEDY:
            yield (one.component, f"{one.meter}: {one.reason}", one.remedy), modelled[one.component]
    total_kwh = found.energy_kwh.estimate.value
    for grid in found.intensities:
        share_kwh = min(grid.energy_kwh or 0.0, total_kwh)
        if grid.kind == "world":
            reason = "the world average is used, because the country is unknown"
            yield ("grid intensity", reason, "set country_iso_code"), share_kwh * 3.6e6
        elif grid.kind == "annual":
            reason = f"the annual average of {grid.place} does not depend on the hour"
            remedy = "set a token of a live source, such as electricitymaps_api_token"
            yield ("grid intensity", reason, remedy), share_kwh
