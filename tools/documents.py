"""Runs the code of a document from top to bottom, as a new user does, in an empty directory.

A document is read like a notebook:

- a block of ``python`` or ``bash`` is run, in the order of the page;
- a block with a ``title="train.py"`` is a file, which later blocks use;
- a block of ``text`` is the output of the block before it. `tools/write_outputs.py` writes it.

A comment before a block changes this: ``<!-- not run: REASON -->``; for text, ``<!-- shown: REASON -->``
if it is no output, or ``<!-- output of: COMMAND -->`` for a command in the repository. The others run on
the machine of `tools/docs_machine`: a server without energy counters, where ``pip``, ``nox``, ``sbatch``
and others do not change anything.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from carbon_callbacks._adapters import ADAPTERS

ROOT = Path(__file__).resolve().parent.parent
MACHINE = Path(__file__).resolve().parent / "docs_machine"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ABOUT_THE_REPOSITORY = ("CONTRIBUTING", "maintaining")
RUNNABLE = ("python", "bash")
# What the code of a page may need, beside what the tests install.
FRAMEWORKS = sorted({"accelerate", "torch", *(row.package for row in ADAPTERS)})
# Pages with a section for each adapter: those run by themselves.
OF_SECTIONS = {row.page.partition(".md#")[0] for row in ADAPTERS if "#" in row.page}
TIMEOUT_S = 300

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>not run|shown|output of): (?P<reason>[^\n]*) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
# Figures, their units and what depends on their length: outputs are compared without them.
_FIGURE = re.compile(
    r"\bnan\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?|[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|(?<![A-Za-z])[-+±]?\d(?:[\d.,]*\d)?(?:e[-+]?\d+)?"
    r"(?: ?(?:%|(?:[nµmkMG]?Wh|[nµmkMG]?W|[nµmk]?g|t|ms|s|min|h)\b))?"
)
_FIGURES = re.compile(r"#(?:,? #)+")
# How the energy became known, the largest part first: parts and order depend on the machine's load.
_PART = r"(?:# )?(?:measured|estimated|extrapolated|from the power)[^,;()]*(?:\([A-Z, ]+\))?"
_PARTS = re.compile(rf"{_PART}(?:, {_PART})*")
# Whether the whole node can be estimated depends on the load: that of a run of milliseconds may be 0.
_NODE = re.compile(r"; whole node estimated: #")
# What a few runs show (an interval, a clear change) depends on the machine's load.
_COMPARED = re.compile(r"ratio #.*$")
_FIRST_LINE = "carbon-callbacks: measuring"
_BLANK = re.compile(r"[ \t━─═]+")


class Block(NamedTuple):
    """A fenced block of a document.

    Attributes:
        language: Of its first line; empty where there is none.
        text: What it contains.
        title: Name of the file that it is; empty where it is none.
        note: ``not run``, ``shown`` or ``output of``, where a comment is before it; else empty.
        reason: What follows in the comment.
        start: Where its text begins in the document.
        line: Line of its fence, from 1.
    """

    language: str
    text: str
    title: str
    note: str
    reason: str
    start: int
    line: int


def blocks_of(document: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document's text."""
    for found in _BLOCK.finditer(document):
        text = found["text"]
        if found["indent"]:
            text = re.sub(f"^{found['indent']}", "", text, flags=re.MULTILINE)
        line = document.count("\n", 0, found.start("language")) + 1
        yield Block(
            found["language"],
            text,
            found["title"] or "",
            found["note"] or "",
            found["reason"] or "",
            found.start("text"),
            line,
        )


def unfigured(output: str) -> str:
    """Return an output without its figures, and with single blanks: what is the same in each run.

    The first line of a run has the meters that were found by then, and a line that only counts on may be
    printed once more or less: both depend on the load of the machine. Tables are read by column, because
    the length of a figure decides where a cell is broken into lines.
    """
    texts: list[str] = []
    for line in _by_column(output.splitlines()):
        text = _FIGURES.sub("#", _BLANK.sub(" ", _FIGURE.sub("#", line)))
        text = _COMPARED.sub("ratio #", _PARTS.sub("# (parts)", _NODE.sub("", text)))
        text = text.strip("┏┓┗┛┡┩├┤└┘┳┻╇┴┬┼ ")
        if text and texts[-1:] != [text] and not text.startswith(_FIRST_LINE):
            texts.append(text)
    return " ".join(texts)


def _by_column(lines: list[str]) -> Iterator[str]:
    """Return lines, those of a table between two rules as one line: its columns, one after the other."""
    for is_row, found in itertools.groupby(lines, lambda line: line.startswith(("│", "┃"))):
        if not is_row:
            yield from found
            continue
        cells = [re.split("[│┃]", line)[1:-1] for line in found]
        yield " ".join(
            cell.strip()
            for column in itertools.zip_longest(*cells, fillvalue="")
            for cell in column
        )


class BlockError(AssertionError):
    """A block that did not run as shown."""


class Session:
    """An empty directory in which blocks are run one after the other.

    Args:
        directory: The directory; the home directory of the session is beside it.
        repository: Whether it has the files of the repository, for pages about changes to it.
        environ: Variables in addition to those of the machine of the documents.
    """

    def __init__(self, directory: Path, *, repository: bool = False, **environ: str) -> None:
        self.directory = directory / "work"
        self.directory.mkdir(parents=True)
        self.home = directory / "home"
        self.home.mkdir()
        # A temporary directory may be within the repository, whose options are not for these tests.
        (directory / "pytest.ini").touch()
        if repository:
            for path in ROOT.iterdir():
                (self.directory / path.name).symlink_to(path)
        self.environ = environment(self.home, **environ)

    def run(self, block: Block) -> str:
        """Run a block and return what a terminal shows of it; a file is written."""
        if block.title:
            path = self.directory / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return ""
        command = (
            ["bash", "-euo", "pipefail", "-c"]
            if block.language == "bash"
            else [sys.executable, "-c"]
        )
        return self._said([*command, block.text], f"line {block.line}:\n{block.text}")

    def run_command(self, command: str) -> str:
        """Run a command in the repository, without the machine of the documents."""
        paths = [str(ROOT / one) for one in ("core", ".", "tests", "tools")]
        environ = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([*paths, *sys.path]),
        }
        return self._said(["bash", "-euc", command], command, cwd=ROOT, env=environ)

    def _said(self, command: list[str], what: str, **place: Any) -> str:
        done = subprocess.run(
            command,
            **{"cwd": self.directory, "env": self.environ, **place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BlockError(f"{what}\nexit status {done.returncode}:\n{done.stdout}")
        return self._anonymous(done.stdout)

    def _anonymous(self, output: str) -> str:
        for path, name in ((self.directory, "/home/me/digits"), (self.home, "/home/me")):
            output = output.replace(str(path), name)
        return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the variables of the machine of the documents."""
    paths = [str(MACHINE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join([str(MACHINE), *sys.path]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "torch"),
        "TOKENIZERS_PARALLELISM": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "WANDB_MODE": "offline",
        **more,
    }


def outputs(document: str, session: Session) -> Iterator[tuple[Block, str]]:
    """Run a document's blocks in their order; yield each block of output with what was printed."""
    printed: str | None = None
    for block in blocks_of(document):
        if block.note == "output of":
            yield block, session.run_command(block.reason)
        elif block.note:
            printed = None if block.note == "not run" else printed
        elif block.title or block.language in RUNNABLE:
            printed = session.run(block)
        elif block.language == "text":
            if printed is None:
                raise BlockError(f"line {block.line}: text after no block of code that is run")
            yield block, printed
            printed = None


def session_for(document: Path, directory: Path) -> Session:
    """Return a session for the code of a document."""
    return Session(directory, repository=document.stem in ABOUT_THE_REPOSITORY)


def check(document: Path, session: Session) -> None:
    """Run a document's blocks; fail where an output is not what the document shows.

    Raises:
        BlockError: A block fails, or prints something else.
    """
    for block, printed in outputs(runnable(document), session):
        if unfigured(printed) != unfigured(block.text):
            hint = f"run `python tools/write_outputs.py {document.stem}`"
            raise BlockError(f"line {block.line} shows\n{block.text}\nnot\n{printed}\n{hint}")


def needs_of(document: str) -> list[str]:
    """Return the frameworks that the code of a document's text imports."""
    code = "\n".join(block.text for block in blocks_of(document))
    return [name for name in FRAMEWORKS if re.search(rf"(?:import|from) {name}\b", code)]


def missing_framework(document: str) -> str:
    """Return a framework that the code of a document's text imports and that is not installed, or ""."""
    return next((name for name in needs_of(document) if find_spec(name) is None), "")


def runnable(document: Path) -> str:
    """Return a document's text, without those sections of adapters whose framework is not installed."""
    text = document.read_text(encoding="utf-8")
    if document.stem not in OF_SECTIONS:
        return text
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    # With as many lines: errors name the line of a block.
    return "".join("\n" * one.count("\n") if missing_framework(one) else one for one in sections)


def as_run(document: str, session: Session) -> str:
    """Return a document with what its blocks print in the place of its outputs."""
    pieces, end = [], 0
    for block, printed in outputs(document, session):
        pieces += [document[end : block.start], printed]
        end = block.start + len(block.text)
    return "".join([*pieces, document[end:]])
