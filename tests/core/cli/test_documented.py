"""What the page of the command line promises: examples in every help, and the keys of every `--json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.cli.conftest import Command, kept
from core.outputs.conftest import report_of
from faults.server import Server

from carbon_core.outputs import receipt
from carbon_core.outputs.journal import Journal, journal_path

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

DOCUMENT = Path(__file__).parents[3] / "docs" / "command-line.md"
COMMANDS = [
    "run", "estimate", "monitor", "detect", "doctor", "baseline", "sources", "reprice", "report",
    "export", "compare", "merge", "resend", "disclose", "sacct", "model-card", "dashboards",
    "config show", "config get", "config set", "config check", "config init",
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    started.answer = (201, {}, b"{}")
    yield started
    started.close()


@pytest.fixture
def document() -> str:
    if not DOCUMENT.exists():
        pytest.skip("the documents are not here")
    return DOCUMENT.read_text(encoding="utf-8")


def test_the_commands_are_these(command: Command) -> None:
    shown = command("--help").stdout + command("config", "--help").stdout
    found = set(re.findall(r"^│ ([a-z][a-z-]*) ", shown, re.MULTILINE))
    assert found == {words.split()[-1] for words in COMMANDS} | {"config"}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_help_ends_with_an_example(words: str, command: Command) -> None:
    done = command(*words.split(), "--help")
    assert done.returncode == 0
    assert f"Example: carbon-callbacks {words}" in done.stdout


@pytest.mark.parametrize("words", COMMANDS)
def test_the_document_tells_of_every_command(words: str, document: str) -> None:
    assert f"carbon-callbacks {words}" in document


def arguments(words: str, directory: Path, server: Server) -> list[str]:
    """Return what a command needs to have something to print."""
    run = f"carbon_runs/digits-0{receipt.SUFFIX}"
    more = {
        "estimate": [
            "--flops",
            "1e18",
            "--peak-tflops",
            "9",
            "--utilization",
            "0.3-0.5",
            "--power",
            "90-99",
        ],
        "reprice": [run, "--country", "POL"],
        "compare": [run, f"carbon_runs/digits-1{receipt.SUFFIX}"],
        "sacct": [".", "--file", "jobs.txt"],
    }
    (directory / "jobs.txt").write_text("JobID|ConsumedEnergyRaw\n7|5\n")
    if words == "resend":
        report = report_of("digits-0", told=("emissions_endpoint",))
        journal = Journal(journal_path(directory, "digits-0"), report)
        journal.append(report)
        journal.close()
        (directory / ".codecarbon.config").write_text(
            f"[codecarbon]\nemissions_endpoint = {server.url}\n"
        )
    return [*words.split(), *more.get(words, []), "--json"]


@pytest.mark.parametrize(
    "words",
    [
        "detect",
        "doctor",
        "report",
        "compare",
        "estimate",
        "merge",
        "reprice",
        "resend",
        "sacct",
        "config show --origin",
    ],
)
def test_the_keys_of_every_json_are_those_in_the_document(
    words: str, command: Command, document: str, tmp_path: Path, server: Server
) -> None:
    kept(tmp_path, 1.0, 2.0)
    done = command(*arguments(words, tmp_path, server))
    told = json.loads(done.stdout)
    row = re.search(rf"^\| `{words}` \| ([^|]*) \| ([^|]*) \|$", document, re.MULTILINE)
    assert row, f"the table has no row of {words}"
    form, keys = row[1].strip(), set(re.findall(r"`([^`]+)`", row[2]))
    first = {"object": lambda: told, "list": lambda: told[0], "by key": lambda: told["pue"]}[form]()
    assert set(first) == keys
