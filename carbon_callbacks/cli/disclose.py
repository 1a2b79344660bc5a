"""``carbon-callbacks disclose``: the runs of a project in a format of others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from carbon_callbacks.cli.skipped import print_skipped
from carbon_callbacks.cli.terminal import say, warn, write_data
from carbon_core.disclosure.activities import Disclosed
from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import FORMATS, Missing, documents, format_of, missing
from carbon_core.disclosure.writing import write
from carbon_core.errors import CarbonError

_NAMES = ", ".join(one.name for one in FORMATS)


def command(
    format_name: Annotated[str, typer.Option("--format", metavar="NAME", help=f"{_NAMES}.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Receipts, journals, CSV files, or directories with all below them."),
    ] = None,
    project: Annotated[str, typer.Option(help="Only the runs of this project.")] = "",
    study: Annotated[str, typer.Option(help="Only the runs of this study, by its id.")] = "",
    facts: Annotated[
        Path | None, typer.Option(help="A JSON file with what no run has.", dir_okay=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="The same, such as --set model_name=mine; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file or directory instead of printing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Disclose the energy and emissions of all runs of a project in a standard format.

    All restarts, ranks, evaluations, and failed runs count, each once. If the format requires what
    neither the runs nor --facts and --set have, lists all of it, writes nothing and exits with 2.
    """
    try:
        row, given = format_of(format_name), Facts.read(facts, settings or ())
        disclosed = _collected(paths or [Path()], project, study)
        lacking = missing(row, disclosed, given)
        if lacking:
            _list(row.name, lacking, as_json=as_json)
        if output is None:
            _print(documents(row, disclosed, given), as_json=as_json)
            return
        files = write(row, disclosed, given, output)
    except CarbonError as error:
        _fail(error)
    if as_json:
        write_data(json.dumps({"format": row.name, "files": [str(one) for one in files]}))
        return
    for path in files:
        say(f"{path}: {row.name}, {len(disclosed.activities):,} runs")


def _collected(paths: Sequence[Path], project: str, study: str) -> Disclosed:
    disclosed = collect_runs(paths, project, study)
    print_skipped(disclosed.skipped)
    if not disclosed.activities:
        _fail(_none_found(paths, project, study))
    return disclosed


def _none_found(paths: Sequence[Path], project: str, study: str) -> str:
    where = ", ".join(map(str, paths))
    if not project and not study:
        return f"no run found in {where}"
    every = collect_runs(paths).activities
    known = [one.study_id if study else one.project for one in every]
    names = ", ".join(filter(None, dict.fromkeys(known))) or "none"
    kind = f"study {study!r}" if study else f"project {project!r}"
    return f"no run of {kind} found in {where}; found are: {names}"


def _print(texts: Mapping[str, str], *, as_json: bool) -> None:
    """Print the first document of a format, or its first one in JSON."""
    alike = [suffix for suffix in texts if suffix.endswith(next(iter(texts))[-len(".json") :])]
    if len(alike) > 1:
        warn(f"printed is the first of {len(alike)} documents; --output DIRECTORY writes all")
    if not as_json:
        write_data(next(iter(texts.values())).rstrip("\n"))
        return
    in_json = next((text for suffix, text in texts.items() if suffix.endswith("json")), None)
    write_data(in_json.rstrip("\n") if in_json is not None else json.dumps(dict(texts)))


def _list(name: str, lacking: Sequence[Missing], *, as_json: bool) -> NoReturn:
    """Print what is missing, and exit with 2."""
    if as_json:
        write_data(json.dumps({"format": name, "missing": [one._asdict() for one in lacking]}))
    warn(f"{name}: {len(lacking)} required, but unknown:")
    for one in lacking:
        warn(f"  {one}")
    raise typer.Exit(2)


def _fail(reason: object) -> NoReturn:
    warn(reason)
    raise typer.Exit(2)
