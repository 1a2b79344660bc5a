"""Help, version and the ways to start the command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from core.cli.conftest import Command
from core.cli.test_documented import COMMANDS

import carbon_callbacks
import carbon_core
from carbon_core.version import VERSION

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

_NAMED = re.compile(r"carbon-callbacks (config [a-z]+|(?!config )[a-z][a-z-]*)")
MODULE = (
    "import runpy, sys; runpy.run_module('carbon_callbacks', run_name='__main__', alter_sys=True)"
)


def test_the_version_is_printed(command: Command) -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"carbon-callbacks {VERSION}\n")


def test_the_module_is_the_command(command: Command) -> None:
    assert command("--version", code=MODULE).stdout == f"carbon-callbacks {VERSION}\n"
    done = command("config", "get", "puee", code=MODULE)
    assert (done.returncode, "there is no setting" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", [("get", "pueu"), ("set", "pueu", "1.2")])
def test_a_misspelt_setting_has_a_suggestion(words: tuple[str, ...], command: Command) -> None:
    done = command("config", *words)
    assert done.returncode == 2
    assert "there is no setting 'pueu'; did you mean 'pue'?" in done.stderr


def test_an_option_of_estimate_that_does_not_exist_is_no_command(command: Command) -> None:
    done = command("estimate", "--flopz", "1e18")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --flopz" in done.stderr


def test_an_option_of_run_that_does_not_exist_is_no_command(command: Command) -> None:
    done = command("run", "--country", "POL", "--", sys.executable, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --country" in done.stderr
    later = command(
        "run", sys.executable, "-c", "import sys; print(sys.argv)", "--country", "--", "-x"
    )
    assert later.stdout == "['-c', '--country', '--', '-x']\n"


def test_the_module_names_the_missing_extra(command: Command) -> None:
    done = command("--version", code=f"import sys; sys.modules['typer'] = None\n{MODULE}")
    assert done.returncode == 1
    assert "pip install 'carbon-callbacks[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", ["", "config", *COMMANDS])
def test_h_prints_help_and_cuts_no_option_in_a_narrow_terminal(
    words: str, command: Command
) -> None:
    wide = command(*words.split(), "--help", COLUMNS="200")
    narrow = command(*words.split(), "-h", COLUMNS="40")
    assert narrow.returncode == 0
    assert max(map(len, narrow.stdout.splitlines())) <= 43  # usage has a margin of its own
    assert "…" not in narrow.stdout
    options = set(re.findall(r"^│[ *]+(--[a-z-]+)", wide.stdout, re.MULTILINE))
    assert "--help" in options
    assert [name for name in options if name not in narrow.stdout] == []


def test_commands_that_the_package_names_exist() -> None:
    packages = Path(carbon_callbacks.__file__).parent, Path(carbon_core.__file__).parent
    texts = [
        path.read_text(encoding="utf-8")
        for package in packages
        for path in package.rglob("*")
        if path.suffix in {".py", ".js", ".j2"}
    ]
    named = {words for text in texts for words in _NAMED.findall(text)}
    known = {word for words in COMMANDS for word in (words, words.split()[0])}
    assert {words for words in named if words not in known} <= {"contributors"}
    assert "config show" in named
