"""Render the HTML report from its template."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from carbon_callbacks.cli.html import elsewhere, run_charts, runs_charts
from carbon_callbacks.cli.html.run_view import RunView, load
from carbon_callbacks.cli.totals import History
from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.formatting import formatted
from carbon_core.input_files import require_regular
from carbon_core.outputs.base import replace
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG
from carbon_core.version import VERSION

# Longer tables are cut: they would make the page slow.
_MOST_ROWS = 1000


def write(history: History, path: Path) -> None:
    """Write the HTML report.

    Args:
        history: The runs; the newest one with a receipt or a journal is shown in detail.
        path: The file to write; an existing one is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    content = _rendered(history)
    try:
        if path.exists():  # a device would be replaced by a file
            require_regular(path)
        replace(path.resolve(), content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _rendered(history: History) -> bytes:
    view = _newest(history)
    places = elsewhere.countries(view) if view is not None else []
    environment = Environment(
        loader=PackageLoader("carbon_callbacks.cli.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        interval=_interval, ends=_ends, range_kwh=_range_kwh, grams=_grams, duration=_duration
    )
    script = (files("carbon_callbacks.cli.html") / "page.js").read_text(encoding="utf-8")
    scripts = {"plotly": get_plotlyjs(), "script": script}
    largest_first = sorted(history.projects.items(), key=lambda item: -item[1].energy_kwh.value)
    parts = environment.get_template("page.html.j2").generate(
        formatted=formatted,
        history=history,
        projects=largest_first,
        run=view.receipt if view is not None else None,
        components=_components(view) if view is not None else [],
        most_rows=_MOST_ROWS,
        grades=_grades(view) if view is not None else "",
        charts=run_charts.charts(view) if view is not None else [],
        places=places,
        what_if=_what_if(view, places) if view is not None else [],
        runs_charts=runs_charts.charts(history),
        **{name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - not of others
        hashes=Markup(" ".join(map(_hash_source, scripts.values()))),  # noqa: S704
        version=VERSION,
    )
    # As one text, a single unusual letter would make Plotly's part of it four times as large.
    return b"".join(part.encode("utf-8", "replace") for part in parts)


def _plain(value: Any) -> Any:
    """Return text of others without control characters and changes of direction."""
    return (
        one_line(str(value))
        if isinstance(value, str | Path) and not hasattr(value, "__html__")
        else value
    )


def _hash_source(script: str) -> str:
    """Return the source expression of a script in a Content Security Policy."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _newest(history: History) -> RunView | None:
    """Return the newest run with a receipt or a journal; None without any."""
    for run in history.runs:
        if run.path is not None:
            with contextlib.suppress(OutputError):  # listed, but without the data for charts
                return load(run.path)
    return None


def _what_if(view: RunView, places: Sequence[elsewhere.CountryEmissions]) -> list[Any]:
    if not places or view.finished.energy_kwh.value <= 0:
        return []
    hours = elsewhere.by_hour(view)
    return [elsewhere.by_country(view, places), *([hours] if hours else [])]


def _grades(view: RunView) -> str:
    shares = view.receipt.share_by_grade.items()
    return ", ".join(f"{share:.0%} {grade}" for grade, share in shares)


def _components(view: RunView) -> list[dict[str, Any]]:
    found = view.receipt.components.items()
    return [
        {"name": name, **one._asdict()} for name, one in found if one.energy_low_kwh is not None
    ]


def _range_kwh(row: Any) -> str:
    """Return the 95 % interval of the energy of a row as text; a dash where it has none."""
    low, high = (
        row.get(key) if isinstance(row, dict) else getattr(row, key)
        for key in ("energy_low_kwh", "energy_high_kwh")
    )
    return "-" if low is None or high is None else f"{formatted(low)} to {formatted(high)}"


def _ends(low: float | None, high: float | None) -> str:
    """Return a 95 % interval as text before other text; nothing in receipts of older versions."""
    if low is None or high is None:
        return ""
    return f"95 %: {formatted(low)} to {formatted(high)}; "


def _interval(estimate: Estimate) -> str:
    """Return the 95 % interval of an estimate as text."""
    return f"{formatted(estimate.low)} to {formatted(estimate.high)}"


def _grams(estimate_kg: Estimate) -> Estimate:
    """Convert an estimate from kg to grams."""
    return estimate_kg.scaled(GRAMS_PER_KG)


def _duration(seconds: float) -> str:
    """Return a duration as text."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"
