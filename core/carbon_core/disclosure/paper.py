"""Format ``paper``: a paragraph and a table in LaTeX, the citation in BibTeX, and the paragraph as text.

The LaTeX needs no package and compiles with every engine: names of others are `latex.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from carbon_core import formatting
from carbon_core.disclosure import latex
from carbon_core.disclosure.activities import Activity, Disclosed, Group, Place
from carbon_core.disclosure.collecting import wall_clock_s
from carbon_core.disclosure.embodied import of_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.market import market_based
from carbon_core.disclosure.text import (
    distinct,
    embodied_text,
    hardware_text,
    notes,
    places,
)
from carbon_core.escaping import one_line
from carbon_core.run_facts import NOT_METERED
from carbon_core.version import VERSION

KEY = "carbon_callbacks"
# As CITATION.cff has it.
_TITLE, _AUTHOR, _LICENSE = "carbon-callbacks", "carbon-callbacks contributors", "MIT"
_CITATION = f"compiled with {_TITLE} {VERSION}"
# More runs are one row for each kind; more places are counted.
_MOST_ROWS, _MOST_PLACES = 30, 3
_LONGEST_CELL, _LONGEST_TEXT = 40, 20_000
_HEAD = (
    "Run",
    "Project",
    "Kind",
    "Status",
    "Hardware",
    "Time",
    "Energy (95~\\%)",
    "Emissions (95~\\%)",
)


def documents(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    """Return the documents of the format by suffix.

    Raises:
        ConfigError: A given figure is impossible.
    """
    sentences = list(_sentences(disclosed, facts))
    return {
        "tex": _tex(sentences, disclosed, facts),
        "bib": bibtex(),
        "txt": "".join(f"{one}\n" for one in sentences),
    }


def bibtex() -> str:
    """Return the citation of this package in BibTeX."""
    return (
        f"@software{{{KEY},\n"
        f"  title = {{{_TITLE}}},\n"
        f"  author = {{{{{_AUTHOR}}}}},\n"
        f"  version = {{{VERSION}}},\n"
        f"  license = {{{_LICENSE}}},\n"
        "}\n"
    )


def _sentences(disclosed: Disclosed, facts: Facts) -> Iterator[str]:
    total = disclosed.total
    yield f"{_runs_text(disclosed, facts)} consumed {_energy(total)}{_emissions(disclosed)}."
    hardware = one_line(facts.text("hardware") or hardware_text(disclosed.activities))
    time = f"{formatting.duration(disclosed.wall_clock_s)} of wall-clock time"
    if total.gpu_hours:
        time += f" and {formatting.formatted(total.gpu_hours)} GPU hours"
    subject = "It" if total.runs == 1 else "They"
    yield f"{subject} took {time}{f' on {hardware}' if hardware else ''}."
    yield f"{_measured(disclosed.activities)}, and {_CITATION}."
    yield f"{NOT_METERED[:1].upper()}{NOT_METERED[1:]}."
    yield from _beside(disclosed, facts)
    yield from notes(disclosed)


def _name(disclosed: Disclosed, facts: Facts) -> str:
    """Return the name of the model, or of the project if all runs have the same; empty if unknown."""
    projects = distinct(one.project for one in disclosed.activities)
    project = disclosed.project or (projects[0] if len(projects) == 1 else "")
    return one_line(facts.text("model_name") or project, latex.LONGEST)


def _runs_text(disclosed: Disclosed, facts: Facts) -> str:
    name, count = _name(disclosed, facts), disclosed.total.runs
    runs = f"{'The run' if count == 1 else f'The {count} runs'}{f' of {name}' if name else ''}"
    details = []
    if any(disclosed.by_kind):
        details.append(", ".join(_kind_text(*one) for one in disclosed.by_kind.items()))
    ends = [
        f"{one.runs} {one_line(status) or 'with an unknown end'}"
        for status, one in disclosed.by_status.items()
        if status != "completed"
    ]
    if ends:
        details.append(", ".join(ends))
    return f"{runs} ({'; '.join(details)})" if details else runs


def _kind_text(kind: str, group: Group) -> str:
    names = {"": "other run", "inference": "inference run"}
    return _plural(group.runs, names.get(kind) or one_line(kind))


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _energy(total: Group) -> str:
    if total.energy_kwh is None:
        return formatting.UNKNOWN
    return formatting.energy_interval(total.energy_kwh, "95 %: ")


def _emissions(disclosed: Disclosed) -> str:
    kg = disclosed.emissions_kg
    if kg is None:
        return ""
    where = _places(disclosed.activities)
    return f", that is {formatting.emissions_interval(kg, '95 %: ')}, location-based{where}"


def _places(activities: Iterable[Activity]) -> str:
    """Return the intensities of the most energy, with their places, as text."""
    found = places(activities)
    texts = [_place(one) for one in found[:_MOST_PLACES]]
    more = len(found) - _MOST_PLACES
    if more > 0:
        texts.append(f"{more} more")
    return f" ({'; '.join(texts)})" if texts else ""


def _place(one: Place) -> str:
    source = one_line(one.source) + (f" ({one.year})" if one.year else "")
    figure = f"{formatting.formatted(one.g_per_kwh)} g CO2e/kWh"
    return f"{one_line(one.place)}: {figure}{f', {source}' if source else ''}"


def _measured(activities: Iterable[Activity]) -> str:
    programs = distinct(one.package_version for one in activities)
    methods = distinct(name for one in activities for name in one.methods)
    by = f" by {', '.join(programs)}" if programs else ""
    how = f" ({', '.join(methods)})" if methods else ""
    pues = sorted({one.pue for one in activities})
    factor = ", ".join(map(formatting.formatted, pues))
    overhead = f", with a power usage effectiveness of {factor}" if pues[-1:] > [1.0] else ""
    return f"The energy was measured{by}{how}{overhead}"


def _beside(disclosed: Disclosed, facts: Facts) -> Iterator[str]:
    """Yield what stands apart from the location-based emissions of the operation."""
    market = market_based(disclosed.energy_kwh, disclosed.emissions_kg, facts)
    if market is not None:
        text = formatting.emissions_interval(market.emissions_kg, "95 %: ")
        yield f"Market-based emissions are {text} ({one_line(market.source)})."
    reserved_s = wall_clock_s(disclosed.activities)
    hardware = of_runs(disclosed.activities, reserved_s, facts)
    if hardware is not None:
        text = embodied_text(hardware)
        yield f"Embodied emissions of the hardware, in no other figure, are {text}."


def _tex(sentences: Iterable[str], disclosed: Disclosed, facts: Facts) -> str:
    cited = _latex(_CITATION)
    cite = f"{cited}~\\cite{{{KEY}}}"
    name = latex.text(_name(disclosed, facts))
    caption = f"Energy and location-based emissions{f' of {name}' if name else ''}."
    lines = [
        f"% Made by {_TITLE} {VERSION}; no package is needed.",
        latex.OTHER_CHARACTER,
        *(_latex(one).replace(cited, cite) for one in sentences),
        "",
        r"\begin{table}",
        r"  \centering\footnotesize",
        f"  \\caption{{{caption}}}",
        r"  \label{tab:carbon}",
        r"  \begin{tabular}{lllllrrr}",
        r"    \hline",
        f"    {_row(_HEAD)}",
        r"    \hline",
        *(f"    {_row(row)}" for row in _rows(disclosed)),
        r"    \hline",
        f"    {_row(_group_cells('all', disclosed.total))}",
        r"    \hline",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex(plain: str) -> str:
    return latex.text(plain, _LONGEST_TEXT).replace("CO2e", "CO$_2$e")


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _rows(disclosed: Disclosed) -> Iterator[tuple[str, ...]]:
    if len(disclosed.activities) > _MOST_ROWS:
        for kind, group in disclosed.by_kind.items():
            yield _group_cells(kind, group)
        return
    for one in disclosed.activities:
        energy = formatting.energy_interval(one.energy_kwh) if one.energy_kwh else "unknown"
        emissions = (
            formatting.emissions_interval(one.emissions_kg) if one.emissions_kg else "unknown"
        )
        if one.part_of and not one.counted:
            energy = emissions = f"in {one.part_of[:8]}"
        names = (
            one.run_id[:8] or "without id",
            one.project,
            one.kind,
            one.status,
            hardware_text([one]),
        )
        yield _cells((*names, formatting.duration(one.duration_s), energy, emissions))


def _group_cells(kind: str, group: Group) -> tuple[str, ...]:
    emissions = (
        formatting.emissions_interval(group.emissions_kg) if group.emissions_kg else "unknown"
    )
    time = formatting.duration(group.duration_s)
    energy = formatting.energy_interval(group.energy_kwh) if group.energy_kwh else "unknown"
    return _cells(
        (_plural(group.runs, "run"), "", kind or "other", "", "", time, energy, emissions)
    )


def _cells(plain: Iterable[str]) -> tuple[str, ...]:
    return tuple(latex.text(one, _LONGEST_CELL).replace("CO2e", "CO$_2$e") for one in plain)
