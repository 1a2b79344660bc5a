"""Edits one entry in the metadata of a model card, as text: every other byte of the file stays.

The metadata are the YAML block at the head of a ``README.md``, between two lines ``---``. Parsing and
writing it again would lose comments, quotes and the order of keys, and turn ``language: no`` into false.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.outputs.base import replace
from carbon_core.outputs.card_yaml import metadata_of

KEY = "co2_eq_emissions"
# The Hub's largest, with thousands of evaluations, have about 1 MiB.
_MOST_BYTES = 16 * 2**20
_LONGEST_ENTRY = 16_384
_BOM = b"\xef\xbb\xbf"
_BREAK = r"(?:\r\n|\r|\n)"
_OPENING = re.compile(rf"\s*---[ \t]*({_BREAK})")
_CLOSING = re.compile(rf"(?<=[\r\n])---[ \t]*(?={_BREAK}|\Z)")
_START = re.compile(rf"""(?:(?<=[\r\n])|\A)(?:{KEY}|"{KEY}"|'{KEY}')[ \t]*:(?=[ \t\r\n])""")
_LINE = re.compile(rf"[^\r\n]*{_BREAK}|[^\r\n]+")
# A line that belongs to the value of the key above it: indented, or the item of a list.
_OF_VALUE = re.compile(r"[ \t]+[^ \t\r\n]|-[ \t\r\n]")
_EMPTY_OR_COMMENT = re.compile(r"[ \t]*(?:#|\r|\n|\Z)")
_HEADER_WITH_COMMENT = re.compile(r"[^:]*:[ \t]+#")
# Text that YAML reads as itself; all other text is quoted.
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ._()/;+-]*[A-Za-z0-9.)])?")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"}


class _Card(NamedTuple):
    """The text of a card: what precedes the metadata, the metadata, and the rest.

    Attributes:
        head: Up to the end of the opening line; an empty string where there are no metadata.
        block: The metadata, with the line break before the closing line.
        rest: From the closing line on.
        newline: The line break that the card has.
    """

    head: str
    block: str
    rest: str
    newline: str


def write_card_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Write emissions to a model card, replacing earlier ones; nothing else changes.

    Args:
        path: The ``README.md`` of a model; if it is a symbolic link, its target is written.
        entry: The value of ``co2_eq_emissions``.

    Raises:
        OSError: The file cannot be read or written; it is as before.
        OutputError: Its metadata cannot be edited; it is as before.
    """
    path = Path(os.path.realpath(path))  # unlike `resolve`, it raises for no loop of links
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{path} is not a regular file")
    if status.st_size > _MOST_BYTES:
        raise OutputError(f"{path}: it is larger than 16 MiB; the card was not changed")
    try:
        data = with_entry(path.read_bytes(), entry)
    except OutputError as error:
        raise OutputError(f"{path}: {error}; the card was not changed") from error
    replace(path, data, stat.S_IMODE(status.st_mode))


def with_entry(data: bytes, entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of a card with another entry.

    Args:
        data: The whole file.
        entry: The value of ``co2_eq_emissions``.

    Raises:
        OutputError: The metadata cannot be edited.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise OutputError("it is UTF-16, not UTF-8")
    bom = _BOM if data.startswith(_BOM) else b""
    # Bytes that are not UTF-8 remain what they are.
    card = _divided(data[len(bom) :].decode("utf-8", "surrogateescape"))
    before, after = _around(card.block)
    lines = _lines(card, before, entry)
    block = before + lines + after
    _check_lines(lines, entry)
    _check(card, block)
    if not card.head:
        block = f"---{card.newline}{block}---{card.newline}"
    return bom + (card.head + block + card.rest).encode("utf-8", "surrogateescape")


def _divided(text: str) -> _Card:
    opening = _OPENING.match(text)
    if opening is None:
        found = re.search(_BREAK, text)
        return _Card("", "", text, found.group() if found else "\n")
    begin = opening.end()
    closing = _CLOSING.search(text, begin)
    if closing is None:
        raise OutputError("its metadata have no end: a line --- is missing")
    end = closing.start()
    return _Card(text[:begin], text[begin:end], text[end:], opening.group(1))


def _around(block: str) -> tuple[str, str]:
    """Return the metadata before the entry and after it; all of them are before one that is absent."""
    starts = list(_START.finditer(block))
    if not starts:
        return block, ""
    if len(starts) > 1:
        raise OutputError(f"its metadata have {KEY} more than once")
    begin = starts[0].start()
    first, *others = _LINE.findall(block[begin:])
    end = begin + len(first)
    at = end
    for line in others:
        at += len(line)
        if _OF_VALUE.match(line) and not _EMPTY_OR_COMMENT.match(line):
            end = at
        elif not _EMPTY_OR_COMMENT.match(line):
            break
    return block[:begin], block[end:]


def _lines(card: _Card, before: str, entry: Mapping[str, Any]) -> str:
    """Return the lines of the entry; the first keeps a comment that is there."""
    old = _LINE.findall(card.block[len(before) :])
    header = f"{KEY}:{card.newline}"
    if old and _HEADER_WITH_COMMENT.match(old[0]):
        header = old[0]
    return header + "".join(f"  {key}: {_scalar(v)}{card.newline}" for key, v in entry.items())


def _scalar(value: Any) -> str:
    """Return a number or a text as YAML."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").removesuffix(".") + (".0" if value.is_integer() else "")
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def _check(card: _Card, after: str) -> None:
    """Raise unless the metadata are a mapping, and the same but for the entry."""
    above = len(_LINE.findall(card.head))
    old = metadata_of(card.block, KEY, above)
    if old is None:
        return
    if old.times > 1:
        raise OutputError(f"its metadata have {KEY} more than once")
    try:
        new = metadata_of(after, KEY, above)
    except OutputError:
        new = None
    # An alias of a part of the old entry would refer to nothing, or to something else.
    if new is None or new.times != 1 or old.is_shared:
        raise OutputError(f"its metadata leave no room for {KEY}")
    if new.others != old.others:
        raise OutputError(f"{KEY} cannot be written without changing other metadata")


def _check_lines(lines: str, entry: Mapping[str, Any]) -> None:
    """Raise unless the lines of the entry are read as what it is."""
    try:
        import yaml
    except ImportError:
        return
    if len(lines) > _LONGEST_ENTRY:
        raise OutputError(f"{KEY} would have {len(lines)} characters")
    try:
        read = yaml.safe_load(lines)
    except (yaml.YAMLError, ValueError) as error:
        raise OutputError(f"{KEY} cannot be written: {type(error).__name__}") from error
    if read != {KEY: dict(entry)}:
        raise OutputError(f"{KEY} cannot be written as YAML")
