"""A window: the results of a run between two instants."""

from __future__ import annotations

import math
from typing import Any

from carbon_core import uncertainty, units
from carbon_core.formatting import duration, energy
from carbon_core.records import Component, Estimate, Snapshot, Window
from carbon_core.report import Report
from carbon_core.report_text import rows_of
from carbon_core.sampler import Mark
from carbon_core.tracker.run import Run


class OpenWindow:
    """A window that was opened by `Tracker.window`.

    Attributes:
        name: As given; a window with a name appears in the HTML report.
        run: The run that it belongs to, or None.
    """

    def __init__(self, name: str, run: Run | None, *, at_once: bool = False) -> None:
        self.name = name
        self.run = run
        # A program in pure Python hands its lock to the sampler only after several milliseconds, which
        # would be mixed with what came before.
        self._start = run.instant(after_reading=not at_once) if run else None
        self._end: Mark | None = None
        self._kept: Window | None = None

    def close(self) -> Window:
        """End the window now; wait a moment (at most 50 ms) for its reading."""
        if self.run is not None and self.run.final is None and self._end is None:
            self._end = self.run.instant()
            # At once: until then, the sampler may wait for Python's lock.
            self.run.wait_for(self._end)
            if self.name and self._start is not None:
                self.run.note_window(self.name, self._start, self._end)
        return self.result

    @property
    def result(self) -> Window:
        """The window up to its end, the end of its run, or now."""
        if self.run is None or self._start is None:
            return self._kept or Snapshot(0) - Snapshot(0)
        if self._end is not None:
            end = self.run.at(self._end)
        else:
            final = self.run.final
            end = final.window.end if final else self.run.snapshot()
        return end - self.run.at(self._start)

    def report(self, until: Snapshot | None = None) -> Report | None:
        """Return the window's totals as a report; None if nothing was measured.

        Args:
            until: End of a window that is still open; by default, now.
        """
        if self.run is None:
            return None
        if until is not None and self._end is None and self._start is not None:
            return self.run.part_report(until - self.run.at(self._start))
        return self.run.part_report(self.result)

    def up_to(self, later: OpenWindow) -> Window:
        """Return the window from the begin of this one to that of another of the same run."""
        if self.run is None or self._start is None or later._start is None:
            return Snapshot(0) - Snapshot(0)
        return self.run.at(later._start) - self.run.at(self._start)

    @property
    def age_s(self) -> float:
        """Seconds since its begin."""
        if self.run is None or self._start is None:
            return 0.0
        return self.run.seconds_since(self._start)

    @property
    def provisional(self) -> bool:
        """Whether a reading is late, so that the figures are extrapolated until it arrives."""
        return self.result.provisional

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.result.duration_s

    @property
    def energy_kwh(self) -> float:
        """Energy of the hardware in kWh.

        NaN where it is unknown: in a window that ended before the first reading of its run, and where
        no meter gives one.
        """
        window = self.result
        return units.kwh(window.joules) if self._is_known(window) else math.nan

    @property
    def emissions_kg(self) -> float:
        """Emissions in kg CO2e, with the grid intensity known so far; NaN as for `energy_kwh`."""
        window = self.result
        if self.run is None or not self._is_known(window):
            return math.nan
        return self.run.grams(window) / units.GRAMS_PER_KG

    @property
    def energy_interval_kwh(self) -> Estimate | None:
        """Energy of the hardware in kWh with its 95 % interval; None where it is unknown."""
        report = self.report()
        if report is None or not report.is_known:
            return None
        return report.energy_kwh.scaled(1.0 / report.run.pue)

    @property
    def emissions_interval_kg(self) -> Estimate | None:
        """Emissions in kg CO2e with their 95 % interval; None where they are unknown."""
        report = self.report()
        return None if report is None or not report.is_known else report.emissions_kg

    def component_kwh(self, component: Component) -> float:
        """Return the energy of one component (``cpu``, ``gpu`` or ``ram``) in kWh; NaN as above."""
        window = self.result
        is_known = self._is_known(window) and uncertainty.measures(window, component)
        return units.kwh(window.component_j(component)) if is_known else math.nan

    def _is_known(self, window: Window) -> bool:
        is_counted_elsewhere = self.run is not None and self.run.counted_elsewhere
        return is_counted_elsewhere or uncertainty.is_known(window)

    @property
    def _state(self) -> str:
        """Name and state as text."""
        name = self.name or "without a name"
        if self.run is None and self._kept is None:
            return f"{name}: the tracker was not running"
        if self._end is None and self.run is not None and self.run.final is None:
            return f"{name}: open for {duration(self.age_s)}"
        return f"{name}: {duration(self.duration_s)}"

    def _rows(self) -> dict[str, str]:
        report = self.report()
        rows = rows_of(report) if report else {"energy": energy(self.energy_kwh)}
        rows.pop("run", None)
        return {"window": self._state, **rows}

    def __repr__(self) -> str:
        from carbon_core.notebook import line_of

        return line_of(self, lambda: self._state)

    def _repr_html_(self) -> str | None:
        """Return the window as a small table for notebooks."""
        from carbon_core.notebook import html_of

        return html_of(self, self._rows)

    def __getstate__(self) -> dict[str, Any]:
        # A copy keeps what the window held; the run's threads stay here.
        kept = self.result
        return {"name": self.name, "run": None, "_start": None, "_end": None, "_kept": kept}

    def __enter__(self) -> OpenWindow:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
