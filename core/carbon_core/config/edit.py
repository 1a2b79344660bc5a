"""Writes one setting into a configuration file; every byte outside its lines stays as it is."""

from __future__ import annotations

from pathlib import Path

from carbon_core.config import ini, sources
from carbon_core.config.ini import SECTION, Entry, Parsed, shown_name
from carbon_core.config.resolve import suggestion
from carbon_core.config.schema import KEYS, LONGEST_VALUE, shown_value
from carbon_core.config.sources import BYTE_ORDER_MARK, FILE_NAME, ConfigSource
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
    data = _read(path)
    mark = BYTE_ORDER_MARK if data.startswith(BYTE_ORDER_MARK) else b""
    text = _text(path, data)
    changed = _changed(text, key, value)
    if changed is None:
        shown = shown_value(key, value)
        raise ConfigError(
            f"{key}: a file cannot contain {shown}; set CODECARBON_{key.upper()} instead"
        )
    written = mark + changed.encode("utf-8", "surrogateescape")
    if len(written) > sources.MAX_BYTES:
        raise ConfigError(f"{path}: would be larger than 1 MiB; nothing was changed")
    try:
        replace(path.resolve(), written, _mode(sources.parse(changed, path)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def _validate(key: str, value: str) -> None:
    if key not in KEYS:
        raise ConfigError(f"there is no setting {shown_name(key)}{suggestion(key)}", key=key)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{key} must be UTF-8 text", key=key) from None
    if len(value) > LONGEST_VALUE:
        raise ConfigError(f"{key} must have at most {LONGEST_VALUE} characters", key=key)
    try:
        KEYS[key].kind.parse(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        kind = KEYS[key].kind
        hint = kind.hint(value) if kind.hint is not None else ""
        raise ConfigError(f"{key} must be {kind.allowed}{hint}", key=key) from None


def _read(path: Path) -> bytes:
    if sources.is_absent(path):
        return b""
    try:
        return sources.data_of(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); nothing was changed") from error


def _text(path: Path, data: bytes) -> str:
    try:
        return sources.text_of_bytes(data)
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); nothing was changed") from error


def _changed(text: str, key: str, value: str) -> str | None:
    """Return the text with another value of one key, or None if it would not be read back.

    All other settings must be read as before, too: a new line may end what continues over several.
    """
    before = ini.parse(text, "")
    entry = before.entries.get(key)
    if entry is not None and entry.in_section:
        changed = _replaced(text, entry, value)
    else:
        changed = _inserted(text, before, f"{key} = {value}".rstrip(" "))
    after = ini.parse(changed, "")
    expected = {name: one.value for name, one in before.entries.items()} | {key: value}
    is_same = {name: one.value for name, one in after.entries.items()} == expected
    return changed if is_same and after.complete and "\0" not in value else None


def _replaced(text: str, entry: Entry, value: str) -> str:
    """Return the text with another value in the lines of a setting; comments and line breaks stay."""
    first, *others = entry.lines
    pieces = []
    at = 0
    for line in others:
        pieces.append(text[at : line.start])
        at = line.end if line.comment else _after_break(text, line.end)
        pieces.append(line.comment)
    whole = "".join([*pieces, text[at:]])
    setting = f"{entry.key} = {value}".rstrip(" ") + first.comment
    indent = text[first.start : first.start + first.indent]
    return whole[: first.start] + indent + setting + whole[first.end :]


def _inserted(text: str, parsed: Parsed, setting: str) -> str:
    """Return the text with a new line at the end of the section, which is made if it is absent."""
    newline = _newline(text)
    header = parsed.header
    if header is None:
        gap = "" if not text else newline if text.endswith(("\n", "\r")) else newline * 2
        return f"{text}{gap}{_HEADER}{newline}{setting}{newline}"
    # Below the last line of the section that is not blank, which may be a comment.
    at = _after_break(text, max(header.end, len(text[: parsed.end].rstrip())))
    above = parsed.last.lines[0] if parsed.last else header
    indent = text[above.start : above.start + above.indent]
    before = text[:at] if text[:at].endswith(("\n", "\r")) else text[:at] + newline
    return f"{before}{indent}{setting}{_newline(before, last=True)}{text[at:]}"


def _after_break(text: str, at: int) -> int:
    """Return the offset of the line below the one that the offset is in."""
    newline = "\r" if ini.is_mac(text) else "\n"
    found = text.find(newline, at)
    return len(text) if found < 0 else found + 1


def _newline(text: str, *, last: bool = False) -> str:
    """Return the first line break of a text, or the last."""
    if ini.is_mac(text):
        return "\r"
    at = text.rfind("\n") if last else text.find("\n")
    return "\r\n" if text[max(at - 1, 0) : at + 1] == "\r\n" else "\n"


def _mode(content: ConfigSource) -> int | None:
    """Return the mode of a file with this content; None for the present one, or the umask's."""
    return _SECRET_MODE if content.has_secret else None
