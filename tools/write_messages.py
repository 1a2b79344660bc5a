"""Writes the list of all messages into docs/troubleshooting.md, collected from the code.

A message is a text of three words or more that the code shows: given to a function or an exception,
returned or put together. What is no message is excluded by its module. ``…`` stands for a value.
With ``--check``, changes nothing; exit status 1 means that the page would change.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from generated import between, write_or_check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
MARKS = ("<!-- messages: begin -->\n", "<!-- messages: end -->")
# Topic -> the modules below the two packages, by the beginning of their paths; the first that fits.
TOPICS = {
    "Meters": ("hardware/", "sampler/", "calibrations"),
    "Place and grid intensity": ("intensity/", "assemble/grid", "repricing", "tracker/emissions"),
    "Settings": ("config/", "addresses"),
    "Files and services": (
        "outputs/",
        "decoding",
        "fleet/",
        "fetch",
        "http_",
        "timed_",
        "file_locks",
        "input_files",
    ),
    "Commands": ("cli/", "estimation", "disclosure/"),
    "Callbacks and ranks": (
        "_training/",
        "_lightning",
        "_hf",
        "_keras",
        "_automatic",
        "_program",
        "segments",
    ),
    "Trackers": ("",),
}
# Words of tables, pages and documents, settings' help, programs for child processes.
EXCLUDED = (
    "cli/app", "cli/config_commands", "cli/html/", "cli/load_run", "config/schema",
    "config/arguments", "config/kinds", "data/", "methods", "_training/metrics",
    "intensity/tables", "intensity/source_table", "shared_methods", "testing",
    "_pyinstaller", "intensity_spread", "node_energy", "limits", "config/signature",
    "outputs/metric_families", "fleet/columns", "fleet/queries",
)  # fmt: skip
# Words of documents, too: only what is raised is a message.
RAISING = ("disclosure/",)
_LEAST_WORDS = 3
_WORD = re.compile(r"(?:^|(?<=\s))\W*[A-Za-z]\S*")
# Regular expressions, types and programs.
_OTHER = re.compile(r"\\[dwsbA]|\(\?|\||\n|^[\W_]*$|\[str\b")


def messages_of(source: str, *, raised_only: bool = False) -> Iterator[str]:
    """Yield the messages of a module, with an ellipsis for each value."""
    tree = ast.parse(source)
    inner = {id(text) for text in _no_messages(tree)}
    parts = [one for one in ast.walk(tree) if isinstance(one, ast.Raise)] if raised_only else [tree]
    for node in (node for part in parts for node in ast.walk(part)):
        text = "" if id(node) in inner else _text(node)
        if len(_WORD.findall(text)) >= _LEAST_WORDS and not _OTHER.search(text):
            yield text.strip(" ;,:")


def _no_messages(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring
            yield node.value
        elif isinstance(node, ast.JoinedStr):  # its parts
            yield from (part for part in ast.walk(node) if part is not node)
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            yield from ast.walk(node.annotation)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def all_messages() -> dict[str, list[str]]:
    """Return the messages of both packages by topic, in alphabetical order."""
    found: dict[str, set[str]] = {topic: set() for topic in TOPICS}
    for package in (ROOT / "core" / "carbon_core", ROOT / "carbon_callbacks"):
        for path in package.rglob("*.py"):
            module = path.relative_to(package).with_suffix("").as_posix()
            if not module.startswith(EXCLUDED):
                topic = next(one for one, parts in TOPICS.items() if module.startswith(parts))
                raised_only = module.startswith(RAISING)
                found[topic].update(
                    messages_of(path.read_text(encoding="utf-8"), raised_only=raised_only)
                )
    return {topic: sorted(texts, key=_by_words) for topic, texts in found.items()}


def _by_words(text: str) -> tuple[str, str]:
    return re.sub(r"^\W+", "", text).lower(), text


def section() -> str:
    """Return the generated part of the page."""
    pieces = []
    for topic, texts in all_messages().items():
        pieces.append(f"\n### {topic}\n\n")
        pieces += [f"- {_code(text)}\n" for text in texts]
    return "".join(pieces) + "\n"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def page() -> str:
    """Return the page."""
    return between(MARKS, section(), PAGE)


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
