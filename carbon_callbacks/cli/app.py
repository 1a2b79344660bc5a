"""The commands and their options; each command's work is in a module of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from carbon_callbacks.cli import config, detect

app = typer.Typer(
    name="carbon-callbacks",
    help="What training runs draw and emit.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The settings and where they come from.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@app.command("detect")
def detect_command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show each device, the meter chosen for it and its grade, and why others are not used."""
    detect.run(as_json=json)


@config_app.command("show")
def config_show_command(
    origin: Annotated[
        bool, typer.Option("--origin", help="Show where each value comes from.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the effective settings. Secrets are hidden."""
    config.show(with_origin=origin, as_json=json)
