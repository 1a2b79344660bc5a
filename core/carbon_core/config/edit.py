"""Writes one setting into a configuration file; keeps comments, order and all other lines."""

from __future__ import annotations

from pathlib import Path

from carbon_core.config import sources
from carbon_core.config.schema import KEYS, hidden
from carbon_core.config.sources import FILE_NAME, SECTION, ConfigSource
from carbon_core.errors import ConfigError
from carbon_core.outputs.base import replace

_HEADER = f"[{SECTION}]"
_SECRET_MODE = 0o600


def home_file() -> Path:
    """Return the path of the configuration file in the home directory.

    Raises:
        ConfigError: There is no home directory.
    """
    home = sources.home_directory()
    if home is None:
        raise ConfigError("there is no home directory; set HOME")
    return home / FILE_NAME


def local_file() -> Path:
    """Return the path of the configuration file in the working directory."""
    return Path(FILE_NAME).absolute()


def write_setting(path: Path, key: str, value: str) -> None:
    """Set a key in the section ``[codecarbon]`` of a file; create the file if it is absent.

    A file that then contains a secret is made readable by its owner only.

    Args:
        path: The file; if it is a symbolic link, its target is written.
        key: Name of the setting.
        value: The value as text of the file.

    Raises:
        ConfigError: The setting does not exist, the value is invalid or cannot be written in a file,
            or the file cannot be read or written.
    """
    _validate(key, value)
    text = _read(path)
    changed = _changed(text, key, value)
    read_back = sources.parse(changed, path)
    found = read_back.values.get(key)
    if found is None or found.value != value:
        shown = repr(hidden(key, value))
        raise ConfigError(
            f"{key}: a file cannot contain {shown}; set CODECARBON_{key.upper()} instead"
        )
    try:
        replace(path.resolve(), changed.encode("utf-8"), _mode(read_back))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def _validate(key: str, value: str) -> None:
    if key not in KEYS:
        raise ConfigError(f"there is no setting {key!r}", key=key)
    try:
        KEYS[key].kind.parse(value)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{key} must be {KEYS[key].kind.allowed}", key=key) from None


def _read(path: Path) -> str:
    if sources.is_absent(path):
        return ""
    try:
        return sources.text_of(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); nothing was changed") from error


def _changed(text: str, key: str, value: str) -> str:
    """Return the text with the key's last line replaced, or a new line at the section's end."""
    lines = text.splitlines()
    newline = "\r\n" if "\r\n" in text else "\n"
    section = _lines_of_section(lines)
    if section is None:
        lines += [*([""] if lines else []), _HEADER, f"{key} = {value}"]
        return newline.join(lines) + newline
    begin, end = section
    at = max((i for i in range(begin, end) if _key_of(lines[i]) == key), default=None)
    if at is None:
        while end > begin and not lines[end - 1].strip():
            end -= 1
        lines.insert(end, f"{key} = {value}")
    else:
        comment = sources.INLINE_COMMENT.search(lines[at])
        lines[at] = f"{key} = {value}" + (comment.group() if comment else "")
        while at + 1 < end and lines[at + 1].strip() and lines[at + 1][0].isspace():
            del lines[at + 1]  # the old value's continuation
            end -= 1
    return newline.join(lines) + newline


def _lines_of_section(lines: list[str]) -> tuple[int, int] | None:
    """Return the first line after the header of the last such section, and the line after its end."""
    headers = [i for i, line in enumerate(lines) if line.startswith("[")]
    matching = [i for i in headers if lines[i].strip() == _HEADER]
    if not matching:
        return None
    return matching[-1] + 1, min((i for i in headers if i > matching[-1]), default=len(lines))


def _key_of(line: str) -> str:
    return "" if line[:1] in " \t#;" else sources.split(line)[0].strip().lower()


def _mode(content: ConfigSource) -> int | None:
    """Return the mode of a file with this content; None for the present one, or the umask's."""
    return _SECRET_MODE if content.has_secret else None
