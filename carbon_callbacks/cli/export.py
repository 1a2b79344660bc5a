"""``carbon-callbacks export``: writes runs as tables for SQL, and the SQL of questions about them."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carbon_callbacks.cli.extras import needing
from carbon_callbacks.cli.skipped import print_skipped
from carbon_callbacks.cli.terminal import say, warn, write_data
from carbon_core.addresses import masked_text
from carbon_core.errors import OutputError

if TYPE_CHECKING:
    from carbon_core.fleet.export import Result

_SHOWN_TARGET, _SCRIPT = "fleet", "views.sql"


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Receipts, journals, CSV files, or directories with all below them."),
    ] = None,
    parquet: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write Parquet to it, or to s3://bucket/dir."),
    ] = None,
    csv: Annotated[str | None, typer.Option(metavar="DIR", help="Write CSV files to it.")] = None,
    jsonl: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write JSON Lines to it.")
    ] = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print SQL for questions, or write DIR/views.sql.")
    ] = False,
) -> None:
    """Write runs, phases and devices as tables; a later export adds what is new or has changed."""
    run(paths or [Path()], {"parquet": parquet, "csv": csv, "jsonl": jsonl}, sql=sql)


def run(paths: Sequence[Path], targets: Mapping[str, str | None], *, sql: bool) -> None:
    """Export runs and print how many are new or have changed; exit with 2 if there are none.

    Args:
        paths: Receipts, journals, CSV files, and directories that contain them.
        targets: The target by format, of which one is given; with `sql`, none may be.
        sql: Write the SQL of the questions into the target, too; without a target, print it.
    """
    given = {name: target for name, target in targets.items() if target}
    if sql and not given:
        from carbon_core.fleet.queries import script

        write_data(script(_SHOWN_TARGET, "parquet"))
        return
    if len(given) != 1:
        raise typer.BadParameter("give one of --parquet, --csv and --jsonl")
    ((name, target),) = given.items()
    result = _exported(paths, name, target, sql=sql)
    print_skipped(result.skipped)
    if not result.total:
        warn(f"no run found in {', '.join(map(str, paths))}")
        raise typer.Exit(2)
    counts = f"{_count(result.added, 'new')}, {result.changed:,} changed, {result.total:,} in total"
    say(f"{masked_text(target)}: {counts}")


def _exported(paths: Sequence[Path], name: str, target: str, *, sql: bool) -> Result:
    from carbon_core.fleet.export import export
    from carbon_core.fleet.files import ExportFiles
    from carbon_core.fleet.formats import FORMATS
    from carbon_core.fleet.places import place_of
    from carbon_core.fleet.queries import script

    gc.disable()  # saves a fifth of the time: a hundred thousand runs are in memory until the end
    try:
        with needing("fleet", "Parquet"):
            place = place_of(target)
            with place.lock():
                result = export(paths, ExportFiles(place, FORMATS[name]))
                if sql:
                    place.write(_SCRIPT, script(place.shown, name).encode("utf-8", "replace"))
                return result
    except OutputError as error:
        shown = masked_text(target)
        warn(error if shown in str(error) else f"{shown}: {error}")
        raise typer.Exit(1) from error


def _count(number: int, what: str) -> str:
    return f"{number:,} {what} run{'' if number == 1 else 's'}"
