"""Parses configuration files, for the reader of settings and for the editor: both split lines here.

The format is that of `configparser`: sections, ``key = value`` or ``key : value``, and indented lines
that continue a value. A line ends at a line feed, perhaps after a carriage return; at a carriage return
alone only in a file without line feeds. The time is linear in the size of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from carbon_core.record import field, record

SECTION = "codecarbon"
_BELOW = "DEFAULT"  # configparser's section of defaults
# A file with more is not a configuration; this bounds the time.
_MOST_LINES = 6000
MOST_PROBLEMS = 20
_LONGEST_NAME = 60
# A line with a setting, a header or a continuation: not blank, and not only a comment.
# Compiled when there is a file to read.
_CONTENT = r"(?m)^[^\S\n]*[^\s#;][^\n]*"
_COMMENT = r"(?s)(?<!\s)\s+[#;].*"
_SEPARATOR = "[=:]"
_NOT_UTF8 = "[\ud800-\udfff]"


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: Its number, from 1.
        start: Offset of its first character.
        end: Offset of its line break, or of the end of the text.
        content: Its text without comment and blanks around it.
        comment: The comment after the content, with the blanks before it; or an empty string.
        indent: Number of blanks before the content.
    """

    number: int
    start: int
    end: int
    content: str
    comment: str
    indent: int


@record
class Entry:
    """A setting in a file.

    Attributes:
        key: Its name in lower case.
        lines: Its line, and those that continue it.
        in_section: Whether it is in ``[codecarbon]``, not in ``[DEFAULT]``.
        value: Its value; complete when the file is parsed.
        is_text: False where it is not UTF-8: a problem, and not used.
    """

    key: str
    lines: list[Line]
    in_section: bool
    value: str
    is_text: bool = True


@record
class Parsed:
    """What a file contains.

    Attributes:
        entries: The settings in effect, by key.
        problems: One sentence for each problem, with its line; at most `MOST_PROBLEMS`, and a last one
            that counts the others.
        header: The last line ``[codecarbon]``; None if there is none.
        end: Offset where the section of `header` ends: at the next header, or at the end of the text.
        last: The last setting of that section; None if it has none.
        complete: False for a file with too many lines, of which only the first were parsed.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    header: Line | None = None
    end: int = 0
    last: Entry | None = None
    complete: bool = True


def parse(text: str, place: str) -> Parsed:
    """Parse the text of a configuration file.

    Args:
        text: The whole text; bytes that are not UTF-8 are surrogates, as ``surrogateescape`` makes them.
        place: The file's name, for problems.
    """
    parser = _Parser(len(text), place)
    for line in _lines(text):
        if line is None:
            parser.stop()
            break
        parser.feed(line)
    parser.finish(is_utf8=re.search(_NOT_UTF8, text) is None)
    return parser.parsed


def is_mac(text: str) -> bool:
    """Return whether the lines of a text end with a carriage return alone, as on classic Mac OS."""
    return "\r" in text and "\n" not in text


def shown_name(name: str) -> str:
    """Return a name from a file as it may be printed: shortened, and escaped where it is no word."""
    shown = repr(name[: _LONGEST_NAME + 1])
    return shown if len(shown) <= _LONGEST_NAME + len("''") else f"{shown[:_LONGEST_NAME]}…'"


def _shown_key(key: str) -> str:
    return key if key.isidentifier() and len(key) <= _LONGEST_NAME else shown_name(key)


def _lines(text: str) -> Iterator[Line | None]:
    """Yield the lines that are neither blank nor only a comment; None where there are too many."""
    view = text.replace("\r", "\n") if is_mac(text) else text  # offsets stay the same
    number, counted = 1, 0
    for count, match in enumerate(re.finditer(_CONTENT, view)):
        if count == _MOST_LINES:
            yield None
            return
        start, end = match.span()
        number += view.count("\n", counted, start)
        counted = start
        whole = match.group()
        found = re.search(_COMMENT, whole) if "#" in whole or ";" in whole else None
        before = whole[: found.start()] if found else whole
        content = before.strip()
        # The "\r" of a line break is not part of the line.
        end -= whole.endswith("\r")
        comment = found.group().removesuffix("\r") if found else ""
        yield Line(number, start, end, content, comment, len(before) - len(before.lstrip()))


class _Parser:
    """Collects settings; stores the section and the setting that a continuation line extends."""

    def __init__(self, length: int, place: str) -> None:
        self.parsed = Parsed(end=length)
        self._place = place
        self._length = length
        self._more_problems = 0
        self._has_reported_no_section = False
        self._section: str | None = None
        self._open: Entry | None = None
        self._number = 0

    def feed(self, line: Line) -> None:
        self._number = line.number
        if self._open is not None and line.indent > self._open.lines[0].indent:
            self._open.lines.append(line)
        elif line.content.startswith("["):
            self._header(line)
        elif self._section is None:
            if not self._has_reported_no_section:
                self._problem(f"settings before any section; write [{SECTION}] above them")
            self._has_reported_no_section = True
        elif self._section in (SECTION, _BELOW):
            self._setting(line)

    def stop(self) -> None:
        self.parsed.complete = False
        self._problem(f"more than {_MOST_LINES} lines before this; it and the rest are not used", 1)

    def finish(self, *, is_utf8: bool) -> None:
        entries = self.parsed.entries
        for entry in entries.values():
            if len(entry.lines) > 1:
                parts = [entry.value, *(line.content for line in entry.lines[1:])]
                entry.value = "\n".join(parts).strip()
        if not is_utf8:
            for key, entry in entries.items():
                if re.search(_NOT_UTF8, key) or re.search(_NOT_UTF8, entry.value):
                    entry.is_text = False
                    self._number = entry.lines[0].number
                    self._problem("it is not UTF-8 and not used; save the file as UTF-8")
        if self._more_problems:
            self.parsed.problems.append(f"{self._place}: {self._more_problems} more problems")

    def _header(self, line: Line) -> None:
        self._open = None
        parsed = self.parsed
        if self._section == SECTION and parsed.header is not None:
            parsed.end = line.start
        is_header = line.content.endswith("]")
        self._section = line.content[1:-1] if is_header else None
        if not is_header:
            self._problem(f"not a section; write [{SECTION}]")
            self._has_reported_no_section = True
        elif self._section == SECTION:
            parsed.header, parsed.end, parsed.last = line, self._length, None

    def _setting(self, line: Line) -> None:
        self._open = None
        separator = re.search(_SEPARATOR, line.content)
        key = line.content[: separator.start()].rstrip().lower() if separator else ""
        if separator is None or not key:
            self._problem("not a setting; write key = value")
            return
        entry = Entry(
            key, [line], self._section == SECTION, line.content[separator.end() :].strip()
        )
        self._open = entry  # also of one that is not used: the lines that continue it are its own
        earlier = self.parsed.entries.get(key)
        if entry.in_section:
            self.parsed.last = entry
            if earlier is not None and earlier.in_section:
                other = f"{self._place} line {earlier.lines[0].number}"
                self._problem(f"{_shown_key(key)} is set twice ({other}); the last value is used")
        if earlier is None or entry.in_section:
            self.parsed.entries[key] = entry

    def _problem(self, text: str, reserve: int = 0) -> None:
        if len(self.parsed.problems) < MOST_PROBLEMS + reserve:
            self.parsed.problems.append(f"{self._place} line {self._number}: {text}")
        else:
            self._more_problems += 1
