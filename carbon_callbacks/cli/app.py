"""Commands and options; each command is implemented in a module of the same name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
from carbon_callbacks.cli.terminal import NARROW, width, write_data
from carbon_core.data import text
from carbon_core.escaping import one_line
from carbon_core.intensity.source_table import SOURCES
from carbon_core.version import VERSION


class _Commands(TyperGroup):
    """The commands; an argument in an error message is shown as text."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _plain_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _plain_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Make the messages of errors in the use of a command one line: arguments may be names of files."""
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)
        if isinstance(message, str):
            error.message = one_line(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=_Commands,
    name="carbon-callbacks",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # The tables of a narrow help page would cut the names of options.
    rich_markup_mode="rich" if width() >= NARROW else None,
    # Commands inherit them.
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": width()},
)
config_app = typer.Typer(help="Show, check and write settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")


def _print_version(value: bool) -> None:
    if value:
        write_data(f"carbon-callbacks {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Energy use and carbon emissions of training runs."""


def _example(arguments: str) -> str:
    return f"Example: carbon-callbacks {arguments}"


_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, such as --set project_name=mine; repeatable."),
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
    """Run a command and measure it, including the processes that it starts.

    Signals are forwarded to the command, and its exit status is returned. Only the command's share of
    the machine is counted, unless tracking_mode=machine is set.
    """
    run.run(command, settings or [])


@app.command("monitor", epilog=_example("monitor --every 5 --set budget_kwh=2"))
def monitor_command(
    settings: _Settings = None,
    every: Annotated[float, typer.Option(min=0.1, help="Refresh interval (s).")] = 1.0,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Duration (s); by default until Ctrl-C or SIGTERM."),
    ] = None,
) -> None:
    """Show live power and energy use of this machine, and save the result as a run."""
    monitor.run(settings or [], every_s=every, seconds=seconds)


@app.command("detect", epilog=_example("detect --json"))
def detect_command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List devices with their meters and grades, and the reason why a meter is not used."""
    detect.run(as_json=json)


@app.command("doctor", epilog=_example("doctor --at-least B"))
def doctor_command(
    at_least: Annotated[
        detect.Grade, typer.Option(help="Lowest grade that a device may have.")
    ] = detect.Grade.C,
    load: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=120,
            help="Load processors and GPUs for so many seconds; check the meters (s).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the output of `detect`; exit with 1 if a device has a lower grade than required.

    With --load, also exit with 1 if readings of a sensor fail, or if a counter stands still, falls, or
    differs from the power reading of its device by more than 10 % (at least 5 W).
    """
    detect.run(as_json=json, at_least=at_least, load_s=load)


@app.command("baseline", epilog=_example("baseline --seconds 120"))
def baseline_command(
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=3600, help="Duration of the measurement (s).")
    ] = 60,
    even_if_busy: Annotated[
        bool,
        typer.Option(
            "--even-if-busy", help="Save it even if the machine is not idle, with a note."
        ),
    ] = False,
) -> None:
    """Measure idle power once; results then include net energy (above idle).

    Exits with 1 and saves nothing if other programs are at work.
    """
    baseline.run(seconds=seconds, even_if_busy=even_if_busy)


@app.command("sources", epilog=_example("sources | less"))
def sources_command() -> None:
    """Print the sources, years and licences of the shipped tables."""
    write_data(text("SOURCES.md"))


@app.command("reprice", epilog=_example("reprice carbon_runs/RUN_ID.receipt.json --country POL"))
def reprice_command(
    path: Annotated[
        Path, typer.Argument(help="A receipt or a journal.", exists=True, dir_okay=False)
    ],
    country: Annotated[
        str | None, typer.Option(help="Country by name or code, such as Poland.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="State or province of the country.")] = None,
    intensity: Annotated[
        str | None,
        typer.Option(help="gCO2e per kWh, or a CSV file with columns datetime and g_per_kwh."),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Electricity Maps zone: US-CAL-CISO.")] = None,
    source: Annotated[
        str | None,
        typer.Option(help=f"Fetch live data for the run's hours: {', '.join(SOURCES)}."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Recompute the emissions of a finished run for another grid intensity."""
    where = {
        "country_iso_code": country,
        "region": region,
        "electricitymaps_zone": zone,
        "intensity_source": source,
    }
    settings = {key: value for key, value in where.items() if value is not None}
    reprice.run(path, where=settings, intensity=intensity, as_json=json)


@app.command("report", epilog=_example("report . ../other/emissions.csv --html out.html"))
def report_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Receipts, journals, CSV files, or directories with all below them."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the recent runs as CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latest: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of recent runs to list (20; on the page 10,000); totals include all runs.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML report to this file.", dir_okay=False)
    ] = None,
) -> None:
    """List runs and totals by project, or write an HTML report."""
    chosen = {"json": json, "csv": csv, "markdown": markdown}
    output_format = next((name for name, is_chosen in chosen.items() if is_chosen), "table")
    report.run(paths or [Path()], output_format=output_format, latest=latest, html=html)


@app.command("compare", epilog=_example("compare old/ new/ --max-increase 5"))
def compare_command(
    a: Annotated[Path, typer.Argument(help="A run, or a directory of runs.", exists=True)],
    b: Annotated[Path, typer.Argument(help="The run or runs to compare with A.", exists=True)],
    figure: Annotated[
        compare.Figure, typer.Option(metavar="FIGURE", help="energy, emissions or duration.")
    ] = compare.Figure.ENERGY,
    max_increase: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit with 1 if B exceeds A by more than this."),
    ] = None,
    evaluations: Annotated[
        bool, typer.Option("--evaluations", help="Compare evaluations instead of trainings.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line.")] = False,
) -> None:
    """Print the ratio of B to A, with its 95 % interval."""
    compare.run(
        a, b, figure=figure, max_increase=max_increase, as_json=json, evaluations=evaluations
    )


@app.command("merge", epilog=_example("merge output/ --json"))
def merge_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Add up the ranks and runs of each training, also after a crash; list runs without a file."""
    merge.run(directory, as_json=json)


@app.command("resend", epilog=_example("resend output/"))
def resend_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Retry failed uploads: send results that a configured service has not accepted yet."""
    resend.run(directory, as_json=json)


@app.command("model-card", epilog=_example("model-card my-model/ --training-type fine-tuning"))
def model_card_command(
    directory: Annotated[
        Path,
        typer.Argument(help="Directory of a model, with README.md.", exists=True, file_okay=False),
    ],
    receipt: Annotated[
        Path | None,
        typer.Option(
            help="Receipt of the run; by default of the latest training in DIRECTORY or here.",
            dir_okay=False,
        ),
    ] = None,
    training_type: Annotated[str, typer.Option(help="pre-training or fine-tuning.")] = "",
) -> None:
    """Write the emissions of a finished training to its model card, as metadata for the Hub."""
    model_card.run(directory, receipt_path=receipt, training_type=training_type)


_ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Show secrets unmasked.")]


@config_app.command("show", epilog=_example("config show --origin"))
def config_show_command(
    origin: Annotated[
        bool, typer.Option("--origin", help="Show the source of each value.")
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


@config_app.command(
    "set",
    epilog=_example("config set country_iso_code FRA --global"),
    # A value may begin with a minus sign: longitude -71.06.
    context_settings={"ignore_unknown_options": True},
)
def config_set_command(
    key: str,
    value: Annotated[
        str | None, typer.Argument(help="Prompted for if omitted; a secret is not echoed.")
    ] = None,
    for_user: Annotated[
        bool, typer.Option("--global/--local", help="File in the home or the working directory.")
    ] = False,
) -> None:
    """Write a setting to ./.codecarbon.config, or with --global to ~/.codecarbon.config."""
    config.set_value(key, value, for_user=for_user)


@config_app.command("check", epilog=_example("config check"))
def config_check_command() -> None:
    """List all mistakes in files and variables; exit with 2 if there are any."""
    config.check_all()


@config_app.command("init", epilog=_example("config init"))
def config_init_command() -> None:
    """Prompt for country, token and project name, and write the files."""
    config.init()
