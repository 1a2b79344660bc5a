"""The commands and their options; each command's work is in a module of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carbon_callbacks.cli import (
    baseline,
    compare,
    config,
    detect,
    merge,
    model_card,
    monitor,
    report,
    reprice,
    resend,
    run,
)
from carbon_core.data import text
from carbon_core.intensity.source_table import SOURCES

app = typer.Typer(
    name="carbon-callbacks",
    help="What training runs draw and emit.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The settings and where they come from.", no_args_is_help=True)
app.add_typer(config_app, name="config")


def _example(arguments: str) -> str:
    return f"Example: carbon-callbacks {arguments}"


_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, such as --set project_name=mine; more than once."),
]


@app.command(
    "run",
    epilog=_example("run --set country_iso_code=FRA -- python train.py"),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def run_command(
    command: Annotated[
        list[str], typer.Argument(help="The program and its arguments.", metavar="COMMAND...")
    ],
    settings: _Settings = None,
) -> None:
    """Run a command, and measure it with everything that it starts.

    Its exit status comes back, and signals go on to it. Counts its own share of the machine, unless a
    setting says tracking_mode=machine.
    """
    run.run(command, settings or [])


@app.command("monitor", epilog=_example("monitor --every 5 --set budget_kwh=2"))
def monitor_command(
    settings: _Settings = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="How long; else until Ctrl-C or SIGTERM.")
    ] = None,
) -> None:
    """Show what this machine draws, in the terminal or as plain lines, and keep it as a run."""
    monitor.run(settings or [], every_s=every, seconds=seconds)


@app.command("detect", epilog=_example("detect --json"))
def detect_command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show each device, the meter chosen for it and its grade, and why others are not used."""
    detect.run(as_json=json)


@app.command("doctor", epilog=_example("doctor --at-least B"))
def doctor_command(
    at_least: Annotated[
        detect.Grade, typer.Option(help="The grade that every device must have.")
    ] = detect.Grade.C,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what `detect` shows, and exit with 1 where a device is measured worse than is wanted."""
    detect.run(as_json=json, at_least=at_least)


@app.command("baseline", epilog=_example("baseline --seconds 120"))
def baseline_command(
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=3600, help="How long to measure.")
    ] = 60,
) -> None:
    """Measure the idle machine once; results then show energy above idle, too."""
    baseline.run(seconds=seconds)


@app.command("sources", epilog=_example("sources | less"))
def sources_command() -> None:
    """Print where the shipped tables come from, their years and their licences."""
    print(text("SOURCES.md"))


@app.command("reprice", epilog=_example("reprice carbon_runs/RUN_ID.receipt.json --country POL"))
def reprice_command(
    path: Annotated[
        Path, typer.Argument(help="A receipt or a journal.", exists=True, dir_okay=False)
    ],
    country: Annotated[str | None, typer.Option(help="Code of another country: FRA.")] = None,
    region: Annotated[str | None, typer.Option(help="State or province of that country.")] = None,
    intensity: Annotated[
        str | None,
        typer.Option(help="Grams of CO2e per kWh, or a CSV file: datetime, g_per_kwh."),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of Electricity Maps: US-CAL-CISO.")] = None,
    source: Annotated[
        str | None,
        typer.Option(help=f"Live source to request for these hours: {', '.join(SOURCES)}."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what a finished run would have emitted elsewhere, or with figures that came later."""
    where = {
        "country_iso_code": country,
        "region": region,
        "electricitymaps_zone": zone,
        "intensity_source": source,
    }
    asked = {key: value for key, value in where.items() if value is not None}
    reprice.run(path, where=asked, intensity=intensity, as_json=json)


@app.command("report", epilog=_example("report . ../other/emissions.csv --html out.html"))
def report_command(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Receipts, journals, CSV files, directories.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the runs as CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latest: Annotated[
        int, typer.Option(min=0, help="How many runs to list, beside the totals of all.")
    ] = 20,
    html: Annotated[
        Path | None, typer.Option(help="Write a page to look at into this file.", dir_okay=False)
    ] = None,
) -> None:
    """List runs, and add up what each project took; or draw them as a page."""
    chosen = {"json": json, "csv": csv, "markdown": markdown}
    form = next((name for name, is_chosen in chosen.items() if is_chosen), "table")
    report.run(paths or [Path()], form=form, latest=latest, html=html)


@app.command("compare", epilog=_example("compare old/ new/ --max-increase 5"))
def compare_command(
    a: Annotated[Path, typer.Argument(help="A run, or a directory of runs.", exists=True)],
    b: Annotated[Path, typer.Argument(help="What is compared with it.", exists=True)],
    figure: Annotated[compare.Figure, typer.Option(help="What is compared.")] = (
        compare.Figure.ENERGY
    ),
    max_increase: Annotated[
        float | None, typer.Option(help="Percent by which B may be above A; else exit with 1.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line.")] = False,
) -> None:
    """Tell by how much B draws more than A, with a 95 % interval."""
    compare.run(a, b, what=figure, max_increase=max_increase, as_json=json)


@app.command("merge", epilog=_example("merge output/ --json"))
def merge_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Add up the ranks and the starts of each training, also after a crash, and name what is missing."""
    merge.run(directory, as_json=json)


@app.command("resend", epilog=_example("resend output/"))
def resend_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Send to the services of the settings what they were not told of runs that are over."""
    resend.run(directory, as_json=json)


@app.command("model-card", epilog=_example("model-card my-model/ --training-type fine-tuning"))
def model_card_command(
    directory: Annotated[
        Path,
        typer.Argument(help="A model's directory, with README.md.", exists=True, file_okay=False),
    ],
    receipt: Annotated[
        Path | None,
        typer.Option(help="Receipt of the run; else the latest there or here.", dir_okay=False),
    ] = None,
    training_type: Annotated[str, typer.Option(help="pre-training or fine-tuning.")] = "",
) -> None:
    """Write the emissions of a finished training into its model card, as the Hub reads them."""
    model_card.run(directory, receipt_path=receipt, training_type=training_type)


_ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Show secrets, too.")]


@config_app.command("show", epilog=_example("config show --origin"))
def config_show_command(
    origin: Annotated[
        bool, typer.Option("--origin", help="Show where each value comes from.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    show_secrets: _ShowSecrets = False,
) -> None:
    """Show the effective settings."""
    config.show(with_origin=origin, as_json=json, with_secrets=show_secrets)


@config_app.command("get", epilog=_example("config get output_dir"))
def config_get_command(key: str, show_secrets: _ShowSecrets = False) -> None:
    """Print the effective value of one setting."""
    config.get(key, with_secrets=show_secrets)


@config_app.command("set", epilog=_example("config set country_iso_code FRA --global"))
def config_set_command(
    key: str,
    value: Annotated[
        str | None, typer.Argument(help="Asked for, unseen if it is a secret, when left out.")
    ] = None,
    for_user: Annotated[
        bool, typer.Option("--global/--local", help="Write the file in the home directory.")
    ] = False,
) -> None:
    """Write a setting into ./.codecarbon.config, or with --global into ~/.codecarbon.config."""
    config.set_value(key, value, for_user=for_user)


@config_app.command("check", epilog=_example("config check"))
def config_check_command() -> None:
    """Name every mistake in files and variables at once; exit with 2 if there is one."""
    config.check_all()


@config_app.command("init", epilog=_example("config init"))
def config_init_command() -> None:
    """Ask for country, token and project name, and write the files."""
    config.init()
