"""Reading a configuration file, which may be anybody's, and variables of the same content."""

from __future__ import annotations

from pathlib import Path

from carbon_core.config.resolve import check, resolve
from carbon_core.config.schema import KEYS
from carbon_core.config.sources import FILE_NAME, read_file
from carbon_core.errors import ConfigError

SEEDS = (
    b"[codecarbon]\nmeasure_power_secs = 10 ; ten\nproject_name = x\n  y\n\ngpu_ids = 0, 1\n",
    b"\xef\xbb\xbf[codecarbon]\r\noutput_dir: results\r\n# nothing\r\n[other]\r\nkey\r\n",
    b"[codecarbon]\npue = 1e400\nintensity_year = 99999999999999999999\nlatitude = nan\n",
    b"[DEFAULT]\nemissions_endpoint = http://me:x@host:1/a?b#c\n[codecarbon]\noutput_methods = csv,,api\n",  # noqa: E501
    b"[codecarbon]\nmetadata = [[[[{}\ncountry_iso_code = fra\nexperiment_id = \xe9\nlog_level = 10\n",
    b"[codecarbon]\ntrust_local_config = true\nprometheus_url = [::1]:9\ntracking_mod = 1\nPUE = 2\npue = 3\n",  # noqa: E501
)
DICTIONARY = (
    b"[codecarbon]", b"[DEFAULT]", b"\n", b"\r\n", b" = ", b" #", b" ;", b"\xef\xbb\xbf", b"://",
    b"@", b"~", b"~root", *(key.encode() for key in KEYS),
)  # fmt: skip
_LONGEST_TEXT = 400
_MOST_WARNINGS = 130  # of each source, and one for each setting


def run(data: bytes, directory: Path) -> None:
    """Read a file with any content: its problems name the file, and are few and short."""
    path = directory / FILE_NAME
    path.write_bytes(data)
    source = read_file(path)
    assert all(str(path) in problem for problem in source.problems)
    home = directory / "home"
    lines = (line.partition(b"=") for line in data[:4096].split(b"\n") if b"\0" not in line)
    environ = {
        f"CODECARBON_{key.decode('utf-8', 'surrogateescape').strip()}": value.decode(
            "utf-8", "surrogateescape"
        )
        for key, _, value in lines
    }
    for variables in ({}, environ):
        resolution = resolve({}, environ=variables, home=home, directory=directory)
        texts = [*resolution.warnings, *check(environ=variables, home=home, directory=directory)]
        assert len(texts) <= 2 * _MOST_WARNINGS
        longest = _LONGEST_TEXT + 2 * len(str(path))
        assert all(len(text) <= longest for text in texts), max(texts, key=len)
        repr(resolution.settings)
        resolution.settings.shown()
        try:
            resolve({"strict_config": True}, environ=variables, home=home, directory=directory)
        except ConfigError:
            assert resolution.warnings
