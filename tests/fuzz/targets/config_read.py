"""Reading a configuration file, which may be anybody's."""

from __future__ import annotations

from pathlib import Path

from carbon_core.config.sources import FILE_NAME, read_file

SEEDS = (
    b"[codecarbon]\nmeasure_power_secs = 10 ; ten\nproject_name = x\n  y\n\ngpu_ids = 0, 1\n",
    b"\xef\xbb\xbf[codecarbon]\r\noutput_dir: results\r\n# nothing\r\n[other]\r\nkey\r\n",
)
DICTIONARY = (b"[codecarbon]", b"\n", b"\r\n", b" = ", b" #", b" ;", b"\xef\xbb\xbf")


def run(data: bytes, directory: Path) -> None:
    """Read a file with any content: its problems name the file."""
    path = directory / FILE_NAME
    path.write_bytes(data)
    source = read_file(path)
    assert all(str(path) in problem for problem in source.problems)
