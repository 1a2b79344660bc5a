"""Names in the files of others are text in each command: no markup, no escape sequence, no formula."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command
from core.outputs.conftest import report_of

from carbon_core.escaping import one_line
from carbon_core.job_environment import JobFacts
from carbon_core.outputs import receipt
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.journal import Journal, journal_path

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

MARKUP = "[/oops] [wip] [red]x[/red] :smile:"
ESCAPES = "\x1b[31mA\x1b]8;;http://example.com\x07B\x9b31mC\u202eD\u200bE\x08F\rG\nH"
NAME = f"{MARKUP} {ESCAPES}"
SHOWN = one_line(NAME)


def texts_replaced(data: Any) -> Any:
    """Replace each text of a receipt that is a name, and no key of a table, time or number."""
    if isinstance(data, dict):
        names = {
            "name",
            "place",
            "source",
            "project_name",
            "note",
            "licence",
            "cpu_model",
            "reason",
        }
        names |= {"remedy", "meter", "country_name", "region", "status", "python_version"}
        return {
            key: NAME if key in names and isinstance(value, str) else texts_replaced(value)
            for key, value in data.items()
        }
    return [texts_replaced(one) for one in data] if isinstance(data, list) else data


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    for run_id in ("a", "b"):
        job = JobFacts("slurm", "7" if run_id == "a" else NAME, node=NAME, cluster=NAME)
        report = report_of(run_id, project_name=NAME, job=job)
        path = runs / f"{run_id}{receipt.SUFFIX}"
        receipt.write(report, path)
        path.write_text(json.dumps(texts_replaced(json.loads(path.read_text()))))
    killed = report_of("killed", "running", project_name=NAME)
    journal = Journal(journal_path(tmp_path, "killed"), killed)
    journal.append(killed)
    journal.close(saved=False)
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    rows.append(replace(emissions_data(report_of("row")), project_name="placeholder"))
    path = tmp_path / "emissions.csv"
    escaped = NAME.replace("\n", " ").replace("\r", " ")
    path.write_text(path.read_text().replace("placeholder", f"=1+1 {escaped}"), newline="")
    (tmp_path / f"{MARKUP.replace('/', '')}\x1b[31m\u202e.csv").write_text("no run")
    (tmp_path / ".codecarbon.config").write_text(
        f"[codecarbon]\nproject_name = {escaped}\nlogger_preamble = {escaped}\n"
        f"tracking_mode = {escaped}\n{escaped} = 1\nlog_level = info\ncountry_iso_code = FRA\n"
    )
    state = f"{escaped} \x1b[31m".replace("|", "")
    (tmp_path / "jobs.txt").write_text(
        f"JobID|State|ConsumedEnergyRaw\n7|{state}|5\n8_[\x1b[31m]|{state}|6\n{state}|1|2\n"
    )
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Model\n")
    return tmp_path


COMMANDS = [
    "report",
    "report --json",
    "report --csv",
    "report --markdown",
    "report --html out.html",
    "merge",
    "merge --json",
    "compare carbon_runs carbon_runs",
    "compare carbon_runs/a.receipt.json emissions.csv",
    "reprice carbon_runs/a.receipt.json --country POL",
    "reprice carbon_runs/killed.journal.jsonl --intensity 50",
    "resend",
    "disclose --format gpai --set model_name=[/oops]",
    "disclose --format gpai --set model_name=[/oops] --json",
    "disclose --format model-card",
    "disclose --format [/oops]",
    "disclose --format gpai --project [/oops]",
    "sacct . --file jobs.txt",
    "sacct . --file [/oops]\x1b[31m\u202e",
    "monitor --seconds 0.2 --every 0.1",
    "config show --origin",
    "config show --json",
    "config check",
    "config get project_name",
    "config set project_name [/oops]",
    "detect",
    "doctor",
    "model-card . --receipt carbon_runs/a.receipt.json",
    "run -- true",
    "run --set [/oops]=1 -- true",
    "run -- [/oops]",
    "baseline --seconds 1 --even-if-busy",
    "compare [/oops]\x1b[31m\u202e\x9b emissions.csv",
    "merge a\x1b[31m\u202e b",
    "report --[/oops]\x1b[31m\u202e",
    "[/oops]\x1b[31m\u202e",
    "config [/oops]\x1b[31m\u202e",
    "config get [/oops]\x1b[31m\u202e",
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=ascii)
def test_each_command_shows_names_as_they_are(
    arguments: str, command: Command, directory: Path
) -> None:
    if "--html" in arguments:
        pytest.importorskip("jinja2", reason="the extra report is not installed here")
    done = command(*arguments.split(), COLUMNS="1000")
    assert "Traceback" not in done.stderr
    assert "MarkupError" not in done.stderr
    for text in (done.stdout, done.stderr):
        allowed = arguments == "config get project_name"  # for scripts: as it is in the file
        assert allowed or [line for line in text.split("\n") if not line.isprintable()] == []


def test_a_table_has_the_names_in_full(command: Command, directory: Path) -> None:
    for arguments in ("report", "merge", "reprice carbon_runs/a.receipt.json --intensity 5"):
        assert SHOWN in command(*arguments.split(), COLUMNS="1000").stdout
    assert MARKUP in command("config", "show", COLUMNS="1000").stdout


def test_a_row_is_no_formula_and_no_markup(command: Command, directory: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command("report", "--csv").stdout)))
    assert len(rows) == 4
    names = {row["project_name"] for row in rows}
    assert SHOWN in names
    assert any(name.startswith("'=1+1") for name in names)
    lines = command("report", "--markdown").stdout.splitlines()
    assert any(r"\[/oops\] \[wip\]" in line for line in lines)


def test_a_page_has_no_control_characters(command: Command, directory: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra report is not installed here")
    assert command("report", "--html", "out.html").returncode == 0
    page = (directory / "out.html").read_text()
    assert [line for line in page.split("\n") if not line.isprintable()] == []
    shown = [json.loads(text) for text in re.findall(r'id="data">(.*?)</script>', page)]
    assert "\\u001b" not in json.dumps(shown)
    assert "[/oops]" in page


def test_a_console_of_a_terminal_shows_names_as_they_are() -> None:
    from rich.table import Table

    from carbon_callbacks.cli.terminal import PlainConsole

    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system="truecolor", width=500)
    table = Table(NAME, title=NAME, caption=NAME)
    table.add_row(NAME)
    console.print(table)
    console.print(NAME)
    shown = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())
    assert [line for line in shown.split("\n") if not line.isprintable()] == []
    assert shown.count(SHOWN.strip()) == 5
    assert "\x1b[31m" not in file.getvalue()


def test_only_one_module_prints() -> None:
    """`ruff` forbids it in the others, too; this holds where it is not run."""
    directory = Path(__file__).parents[3] / "carbon_callbacks" / "cli"
    printing = {
        path.name
        for path in directory.rglob("*.py")
        if re.search(
            r"(?<![\w.\"'])print\(|\bConsole\b(?=\()|sys\.std(out|err)\.write", path.read_text()
        )
    }
    assert printing == {"__init__.py", "terminal.py"}
