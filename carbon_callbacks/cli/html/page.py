"""Render the HTML report from its template: one file with its style, its scripts and its data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from carbon_callbacks.cli import report_studies
from carbon_callbacks.cli.html.data import PageData
from carbon_callbacks.cli.totals import History
from carbon_core import formatting
from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.input_files import require_regular
from carbon_core.outputs.base import replace
from carbon_core.version import VERSION

# In the order in which they are run: each uses what precedes it.
SCRIPTS = (
    "format.js", "elements.js", "charts.js", "data.js", "table.js", "run.js", "elsewhere.js",
    "metrics.js", "export.js", "page.js",
)  # fmt: skip
# Of tables that do not depend on JavaScript, and of files that were skipped.
_MOST_ROWS = 100
# To heat a litre of water by 80 kelvins: 4.186 kJ/(kg K) x 80 K, in kWh.
_KWH_PER_LITRE = 0.093
_MOST_LITRES = 1e6


def write(history: History, path: Path, searched: Sequence[Path] = ()) -> None:
    """Write the HTML report.

    Args:
        history: The runs.
        path: The file to write; an existing one is replaced.
        searched: Where runs were searched, named on a page without any.

    Raises:
        OutputError: The file cannot be written.
    """
    content = _rendered(history, searched)
    try:
        if path.exists():  # a device would be replaced by a file
            require_regular(path)
        replace(path.resolve(), content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _rendered(history: History, searched: Sequence[Path]) -> bytes:
    environment = Environment(
        loader=PackageLoader("carbon_callbacks.cli.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = (formatting.energy, formatting.emissions, formatting.duration, formatting.local_time)
    environment.filters.update({function.__name__: function for function in texts})
    environment.filters["share"] = _share
    data = PageData(history)
    json_text = data.as_json()  # which also collects the advice
    studies = history.study_totals
    style, *scripts = map(_text_of, ("page.css", *SCRIPTS))
    parts = environment.get_template("page.html.j2").generate(
        history=history,
        data=data,
        projects=[(name, history.projects[name]) for name in data.projects],
        studies=list(report_studies.rows(studies)),
        study_columns=report_studies.COLUMNS,
        study_notes=list(report_studies.notes(studies)),
        energy_range=formatting.energy_range,
        emissions_range=formatting.emissions_range,
        water=_water(history.total.energy_kwh.value),
        most_rows=_MOST_ROWS,
        searched=searched or [Path()],
        json=Markup(json_text),  # noqa: S704 - `script_json` has escaped it
        style=Markup(style),  # noqa: S704 - not of others
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        script_hashes=Markup(" ".join(map(_hash_source, scripts))),  # noqa: S704
        style_hash=Markup(_hash_source(style)),  # noqa: S704
        version=VERSION,
        now=datetime.now(timezone.utc),
    )
    # As one text, a single unusual letter would make all of it four times as large.
    return b"".join(part.encode("utf-8", "replace") for part in parts)


def _text_of(name: str) -> str:
    return (files("carbon_callbacks.cli.html") / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return text of others without control characters and changes of direction."""
    return (
        one_line(str(value))
        if isinstance(value, str | Path) and not hasattr(value, "__html__")
        else value
    )


def _hash_source(text: str) -> str:
    """Return the source expression of a script or a style in a Content Security Policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _water(kwh: float) -> str:
    """Return how much water an energy heats to boiling, as text; empty for very little or very much."""
    litres = kwh / _KWH_PER_LITRE
    if not 0.1 <= litres <= _MOST_LITRES:
        return ""
    amount = formatting.formatted(litres) if litres < 1000 else f"{float(f'{litres:.3g}'):,.0f}"
    return f"heats {amount} litres of water from 20\N{NO-BREAK SPACE}°C to boiling"


def _share(share: float) -> str:
    """Return a share of 1 in percent as text."""
    return f"{share:.0%}".replace("%", " %") if share >= 0.01 or not share else "< 1 %"
