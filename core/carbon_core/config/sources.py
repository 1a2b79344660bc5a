"""Reads settings from two INI files and the environment. The only reader of `os.environ`.

The files are CodeCarbon's: section ``[codecarbon]``, one ``key = value`` per line. Each problem in them
is reported as one sentence with its file and line, and the other lines are used.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carbon_core.config.origin import (
    ARGUMENT,
    ENVIRONMENT_TRUST,
    HOME_TRUST,
    LOCAL_TRUST,
    Origin,
)
from carbon_core.config.schema import ALIASES, KEYS

FILE_NAME = ".codecarbon.config"
SECTION = "codecarbon"
PREFIX = "codecarbon_"
_MAX_BYTES = 1024 * 1024
INLINE_COMMENT = re.compile(r"(?<!\s)\s+[#;].*")


@dataclass(frozen=True)
class RawValue:
    """A value as given in a source, not parsed."""

    value: Any
    origin: Origin


@dataclass
class ConfigSource:
    """The values of one source and the problems found in it.

    Attributes:
        values: Values by key.
        problems: One sentence for each problem, with its file and line.
    """

    values: dict[str, RawValue] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def has_secret(self) -> bool:
        """Whether the source has the value of a secret setting."""
        names = (
            ALIASES.get(key, key) for key, one in self.values.items() if not is_blank(one.value)
        )
        return any(name in KEYS and KEYS[name].secret for name in names)


def is_blank(value: Any) -> bool:
    """Return whether a text is empty, or only white space or quotes: as a secret, it is unset."""
    return isinstance(value, str) and not value.strip(" \t\r\n\"'")


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ


def home_directory() -> Path | None:
    """Return the user's home directory, or None if there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def ambient_sources(
    environ: Mapping[str, str], home: Path | None, directory: Path
) -> list[ConfigSource]:
    """Return the files and the environment as sources, lowest precedence first."""
    sources = [read_file(home / FILE_NAME, HOME_TRUST)] if home else []
    local = directory / FILE_NAME
    with contextlib.suppress(OSError):  # the working directory may be gone
        local = local.absolute()
    if home is None or not _is_same_file(local, home / FILE_NAME):
        sources.append(read_file(local, LOCAL_TRUST))
    return [*sources, read_environment(environ)]


def from_arguments(overrides: Mapping[str, Any]) -> ConfigSource:
    """Return the arguments of a call as a source."""
    return ConfigSource({key: RawValue(value, ARGUMENT) for key, value in overrides.items()})


def read_environment(environ: Mapping[str, str]) -> ConfigSource:
    """Read the variables ``CODECARBON_<KEY>``, in upper or lower case."""
    source = ConfigSource()
    for name, value in environ.items():
        if not name.lower().startswith(PREFIX):
            continue
        key = name.lower()[len(PREFIX) :]
        if key in source.values:
            other = source.values[key].origin.place
            source.problems.append(f"{other} and {name} are both set; {name} is used")
        source.values[key] = RawValue(value.strip(), Origin("environment", name, ENVIRONMENT_TRUST))
    return source


def read_file(path: Path, trust: int = LOCAL_TRUST) -> ConfigSource:
    """Read a configuration file; an absent file is an empty source."""
    if is_absent(path):
        return ConfigSource()
    try:
        text = text_of(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return ConfigSource(
            problems=[f"{path}: cannot be read ({reason}); its settings are not used"]
        )
    source = parse(text, path, trust)
    if source.has_secret and _others_can_read(path):
        source.problems.append(
            f"{path}: contains a secret and is readable by other users; run chmod 600 on it"
        )
    return source


def parse(text: str, path: Path, trust: int = LOCAL_TRUST) -> ConfigSource:
    """Parse the text of a configuration file.

    Args:
        text: The whole text.
        path: The file, named in origins and problems.
        trust: Rank of the file among the sources.
    """
    parser = _Parser(path, trust)
    for number, line in enumerate(text.splitlines(), start=1):
        parser.feed(number, line)
    return parser.source


def is_absent(path: Path) -> bool:
    """Return whether a file is absent; a dangling symbolic link is not, but cannot be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _others_can_read(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


class _Parser:
    """Parses lines; stores the section and the key that a continuation line extends."""

    def __init__(self, path: Path, trust: int) -> None:
        self.source = ConfigSource()
        self._path = path
        self._trust = trust
        self._has_reported_no_section = False
        self._section: str | None = None
        self._last_key: str | None = None

    def feed(self, number: int, line: str) -> None:
        content = INLINE_COMMENT.sub("", line).rstrip()
        if not content.strip() or content.lstrip()[0] in "#;":
            return
        if content[0].isspace() and self._last_key:
            self._extend(content.strip())
        else:
            self._line(number, content.strip())

    def _line(self, number: int, content: str) -> None:
        self._last_key = None
        if content.startswith("["):
            self._section = content[1:-1] if content.endswith("]") else None
            if self._section is None:
                self._problem(number, f"not a section; write [{SECTION}]")
                self._has_reported_no_section = True
            return
        key, separator, value = split(content)
        if self._section is None:
            if not self._has_reported_no_section:
                self._problem(number, f"settings before any section; write [{SECTION}] above them")
            self._has_reported_no_section = True
        elif self._section in (SECTION, "DEFAULT"):
            if separator and key:
                self._store(number, key.lower(), value)
            else:
                self._problem(number, "not a setting; write key = value")

    def _store(self, number: int, key: str, value: str) -> None:
        values = self.source.values
        if key in values and self._section == SECTION:
            self._problem(
                number, f"{key} is set twice ({values[key].origin}); the last value is used"
            )
        if key not in values or self._section == SECTION:
            values[key] = RawValue(
                value, Origin("file", f"{self._path} line {number}", self._trust)
            )
            self._last_key = key

    def _extend(self, content: str) -> None:
        if self._last_key is not None:
            found = self.source.values[self._last_key]
            self.source.values[self._last_key] = RawValue(
                f"{found.value}\n{content}".strip(), found.origin
            )

    def _problem(self, number: int, text: str) -> None:
        self.source.problems.append(f"{self._path} line {number}: {text}")


def split(content: str) -> tuple[str, str, str]:
    """Split a line into key, separator and value; without a separator, the last two are empty."""
    match = re.match(r"([^=:]*?)\s*([=:])\s*(.*)", content)
    return match.groups() if match else (content, "", "")  # type: ignore[return-value]


def text_of(path: Path) -> str:
    """Return a regular file's text.

    Raises:
        OSError: The file cannot be opened or read.
        ValueError: The file is not a small text file in UTF-8.
    """
    # O_NONBLOCK: opening a FIFO without a writer would block.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError("it is larger than 1 MiB")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8; save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("it contains NUL characters")
    return text


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
