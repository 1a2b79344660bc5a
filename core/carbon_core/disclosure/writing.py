"""Writes the documents of a disclosure: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from carbon_core.disclosure.activities import Disclosed
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import Format, documents
from carbon_core.errors import ConfigError, OutputError
from carbon_core.input_files import bytes_of
from carbon_core.outputs.base import make_directory, replace


def write(row: Format, disclosed: Disclosed, facts: Facts, target: Path) -> tuple[Path, ...]:
    """Write the documents of a format; return their files.

    Args:
        row: The format.
        disclosed: The runs.
        facts: What the user has given.
        target: A directory, which gets a file for each document; or a file, whose suffix selects the
            document. A format that edits files edits one that is there.

    Raises:
        MissingFactsError: Something is missing that the format requires; nothing was written.
        ConfigError: The suffix selects no document.
        OutputError: A file cannot be written or edited.
    """
    texts = documents(row, disclosed, facts)
    files = _files(row, texts, target)
    try:
        contents = {
            path: _content(row, disclosed, facts, path, text) for path, text in files.items()
        }
        for path, content in contents.items():
            make_directory(path.parent)
            replace(path, content)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return tuple(contents)


def _files(row: Format, texts: Mapping[str, str], target: Path) -> dict[Path, str]:
    if target.is_dir() or not target.suffix:
        return {target / f"{row.name}.{suffix}": text for suffix, text in texts.items()}
    for suffix, text in texts.items():
        if target.name.endswith(f".{suffix}"):
            return {target: text}
    known = ", ".join(f".{suffix}" for suffix in texts)
    raise ConfigError(f"{target}: the files of {row.name} end in {known}", key="output")


def _content(row: Format, disclosed: Disclosed, facts: Facts, path: Path, text: str) -> bytes:
    if row.edited is None or not path.exists():
        return text.encode("utf-8", "replace")
    try:
        return row.edited(bytes_of(path), disclosed, facts)
    except OutputError as error:
        raise OutputError(f"{path}: {error}; it was not changed") from error
