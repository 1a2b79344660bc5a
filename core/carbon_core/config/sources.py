"""Reads settings from two INI files and the environment. The only reader of `os.environ`.

The files are CodeCarbon's: section ``[codecarbon]``, one ``key = value`` per line. Each problem in them
is reported as one sentence with its file and line, and the other lines are used.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carbon_core.config import ini
from carbon_core.config.ini import MOST_PROBLEMS, shown_name
from carbon_core.config.origin import (
    ARGUMENT,
    ENVIRONMENT_TRUST,
    HOME_TRUST,
    LOCAL_TRUST,
    Origin,
)
from carbon_core.config.schema import ALIASES, KEYS
from carbon_core.input_files import bytes_of
from carbon_core.record import field, record

FILE_NAME = ".codecarbon.config"
PREFIX = "codecarbon_"
MAX_BYTES = 1024 * 1024
# Unknown variables beyond these are only counted.
_MOST_VARIABLES = 1000
_LONGEST_PLACE = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@record(frozen=True)
class RawValue:
    """A value as given in a source, not parsed."""

    value: Any
    origin: Origin


@record
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
    more_unknown = more_problems = 0
    for name, value in environ.items():
        if not name.lower().startswith(PREFIX):
            continue
        key = name.lower()[len(PREFIX) :]
        is_known = key in KEYS or key in ALIASES
        if not is_known and len(source.values) >= _MOST_VARIABLES:
            more_unknown += 1
            continue
        is_plain = name.isprintable() and len(name) <= _LONGEST_PLACE
        place = name if is_plain else shown_name(name)
        if key in source.values:
            if len(source.problems) < MOST_PROBLEMS:
                other = source.values[key].origin.place
                source.problems.append(f"{other} and {place} are both set; {place} is used")
            else:
                more_problems += 1
        origin = Origin("environment", place, ENVIRONMENT_TRUST)
        source.values[key] = RawValue(value.strip(), origin)
    if more_problems:
        source.problems.append(f"{more_problems} more variables are set twice")
    if more_unknown:
        source.problems.append(f"{more_unknown} more variables {PREFIX.upper()}… name no setting")
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
    parsed = ini.parse(text, str(path))
    values = {
        key: RawValue(entry.value, Origin("file", f"{path} line {entry.lines[0].number}", trust))
        for key, entry in parsed.entries.items()
        if entry.is_text
    }
    return ConfigSource(values, parsed.problems)


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


def text_of(path: Path) -> str:
    """Return a regular file's text; bytes that are not UTF-8 are surrogates (``surrogateescape``).

    Raises:
        OSError: As for `data_of`.
        ValueError: It is no text.
    """
    return text_of_bytes(data_of(path))


def data_of(path: Path) -> bytes:
    """Return the bytes of a small regular file.

    Raises:
        OSError: The file cannot be opened or read, is something else, or is larger than 1 MiB.
    """
    return bytes_of(path, MAX_BYTES)


def text_of_bytes(data: bytes) -> str:
    """Return the content of a file as text, without a byte order mark.

    Raises:
        ValueError: It is UTF-16, or no text.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise ValueError("it contains NUL characters")
    return data.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
