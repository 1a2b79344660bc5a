"""Commands and options; each command is implemented in a module of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carbon_callbacks.cli import (
    baseline,
    compare,
    dashboards,
    detect,
    disclose,
    estimate,
    export,
    merge,
    model_card,
    monitor,
    report,
    reprice,
    resend,
    run,
    sacct,
)
from carbon_callbacks.cli.config_commands import config_app, example
from carbon_callbacks.cli.group import Commands
from carbon_callbacks.cli.terminal import NARROW, width, write_data
from carbon_core.data import text
from carbon_core.intensity.source_table import SOURCES
from carbon_core.run_facts import Work
from carbon_core.version import VERSION

app = typer.Typer(
    cls=Commands,
    name="carbon-callbacks",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # The tables of a narrow help page would cut the names of options.
    rich_markup_mode="rich" if width() >= NARROW else None,
    # Commands inherit them.
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": width()},
)
app.add_typer(config_app, name="config")
# Commands whose module has their options, too.
app.command(
    "disclose", epilog=example("disclose . --format gpai --set model_name=mine --output out/")
)(disclose.command)


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


_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, such as --set project_name=mine; repeatable."),
]


@app.command(
    "run",
    epilog=example("run --set country_iso_code=FRA -- python train.py"),
    context_settings={"allow_interspersed_args": False},
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


@app.command(
    "estimate",
    epilog=example("estimate --steps 50 -- python train.py"),
    context_settings={"allow_interspersed_args": False},
)
def estimate_command(  # noqa: PLR0913, PLR0917 - one argument for each option
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="A program: its first training becomes a dry run.", metavar="COMMAND..."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the dry run, at least.")] = 50,
    train_steps: Annotated[
        float | None, typer.Option(min=1, help="Steps of the training, by past runs.")
    ] = None,
    samples: Annotated[
        float | None, typer.Option(min=1, help="Samples of the training, by past runs.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(min=1, help="Tokens of the training, by past runs.")
    ] = None,
    any_machine: Annotated[
        bool, typer.Option("--any-machine", help="Use past runs of another machine.")
    ] = False,
    flops: Annotated[
        float | None, typer.Option(min=1, help="Operations of the training, without past runs.")
    ] = None,
    peak_tflops: Annotated[
        float | None, typer.Option(min=1e-6, help="Peak of all devices (TFLOP/s).")
    ] = None,
    utilization: Annotated[
        str | None,
        typer.Option(metavar="LOW-HIGH", help="Part of the peak that is achieved: 0.3-0.5."),
    ] = None,
    power: Annotated[
        str | None, typer.Option(metavar="LOW-HIGH", help="Power of all devices (W): 300-400.")
    ] = None,
    country: Annotated[
        list[str] | None, typer.Option(help="A country to compare; repeatable.")
    ] = None,
    intensity: Annotated[
        Path | None,
        typer.Option(
            help="Hourly intensities: a CSV file with columns datetime and g_per_kwh.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    settings: _Settings = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Estimate the energy and emissions of a training before it runs.

    By past runs of the same project and machine; by a dry run of a program, on a copy of its model; or
    by FLOPs. Exits with 1 if budget_kwh or budget_kg_co2e is exceeded, with 3 if that is uncertain.
    """
    estimate.run(
        estimate.Request(
            command or (), steps, Work(train_steps, samples, tokens), any_machine, flops, peak_tflops,
            utilization, power, country or (), intensity, settings or (), json,
        )
    )  # fmt: skip


@app.command("monitor", epilog=example("monitor --every 5 --set budget_kwh=2"))
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


@app.command("detect", epilog=example("detect --json"))
def detect_command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List devices with their meters and grades, and the reason why a meter is not used."""
    detect.run(as_json=json)


@app.command("doctor", epilog=example("doctor --at-least B"))
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


@app.command("baseline", epilog=example("baseline --seconds 120"))
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


@app.command("sources", epilog=example("sources | less"))
def sources_command() -> None:
    """Print the sources, years and licences of the shipped tables."""
    write_data(text("SOURCES.md"))


@app.command("reprice", epilog=example("reprice carbon_runs/RUN_ID.receipt.json --country POL"))
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


@app.command("report", epilog=example("report . ../other/emissions.csv --html out.html"))
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


app.command("export", epilog=example("export . --parquet fleet/"))(export.command)


@app.command("compare", epilog=example("compare old/ new/ --max-increase 5"))
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


@app.command("merge", epilog=example("merge output/ --json"))
def merge_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Add up the ranks and runs of each training, also after a crash; list runs without a file."""
    merge.run(directory, as_json=json)


@app.command("sacct", epilog=example("sacct results/ --file jobs.txt"))
def sacct_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    file: Annotated[
        Path | None,
        typer.Option(help="Output of sacct --parsable2, or -; by default sacct is run."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare the energy of runs with Slurm's accounting (ConsumedEnergyRaw), by job."""
    sacct.run(directory, file=file, as_json=json)


@app.command("resend", epilog=example("resend output/"))
def resend_command(
    directory: Annotated[
        Path, typer.Argument(help="An output directory.", exists=True, file_okay=False)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Retry failed uploads: send results that a configured service has not accepted yet."""
    resend.run(directory, as_json=json)


@app.command("model-card", epilog=example("model-card my-model/ --training-type fine-tuning"))
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


@app.command("dashboards", epilog=example("dashboards monitoring/"))
def dashboards_command(
    directory: Annotated[Path, typer.Argument(help="A directory.", file_okay=False)] = Path(),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that were changed.")
    ] = False,
) -> None:
    """Write a Grafana dashboard and rules for Prometheus, for the metrics of `prometheus_port`."""
    dashboards.run(directory, force=force)
