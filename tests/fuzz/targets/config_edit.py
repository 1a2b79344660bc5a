"""Writing a setting into a configuration file, which may be anybody's."""

from __future__ import annotations

from pathlib import Path

from carbon_core.config import ini
from carbon_core.config.edit import write_setting
from carbon_core.config.sources import FILE_NAME, read_file
from carbon_core.errors import ConfigError

# A key's number, the value up to the first NUL, and the file.
SEEDS = (
    b"0new\0[codecarbon]\nproject_name = old # mine\n  more\n\n[other]\nproject_name = x\n",
    b"1a b\0\xef\xbb\xbf[codecarbon]\r\noutput_dir: results\r\n# nothing\r\nregion\r\n  pue = 1\r\n",
    b"2\0[DEFAULT]\nregion = a\n[codecarbon\n[codecarbon]\n",
    b"3\xe9\0  [codecarbon]\r  region = \xe9\r",
)
DICTIONARY = (
    b"[codecarbon]", b"[DEFAULT]", b"\n", b"\r\n", b"\r", b" = ", b" #", b" ;", b"\xef\xbb\xbf",
    b"\xc2\x85", b"\xe2\x80\xa8", b"\x0c", b"project_name", b"region", b" ",
)  # fmt: skip
_KEYS = ("project_name", "region", "experiment_name", "logger_preamble")


def run(data: bytes, directory: Path) -> None:
    """Write a value: it is read back, the other settings are read as before, and other bytes stay."""
    value_bytes, _, before = data[1:].partition(b"\0")
    value = value_bytes.decode("utf-8", "surrogateescape")
    key = _KEYS[data[0] % len(_KEYS)] if data else _KEYS[0]
    path = directory / FILE_NAME
    path.write_bytes(before)
    known = _values(path)
    try:
        write_setting(path, key, value)
    except ConfigError:
        assert path.read_bytes() == before
        return
    after = path.read_bytes()
    assert _values(path) == known | {key: value}
    others, others_after = _others(before, key), _others(after, key)
    assert others_after in (others, others + b"[codecarbon]")
    write_setting(path, key, value)
    assert path.read_bytes() == after


def _values(path: Path) -> dict[str, str]:
    return {key: found.value for key, found in read_file(path).values.items()}


def _others(data: bytes, key: str) -> bytes:
    """Return a file without the lines of one setting, and without all blanks."""
    text = data.decode("utf-8", "surrogateescape")
    entry = ini.parse(text.removeprefix("\ufeff"), "").entries.get(key)
    mark = len(text) - len(text.removeprefix("\ufeff"))
    for line in reversed(entry.lines if entry and entry.in_section else []):
        begin = mark + line.start + line.indent
        text = text[:begin] + text[begin + len(line.content) :]
    return "".join(text.split()).encode("utf-8", "surrogateescape")
