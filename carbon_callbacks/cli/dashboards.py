"""``carbon-callbacks dashboards``: write the Grafana dashboard and the rules for Prometheus."""

from __future__ import annotations

from pathlib import Path

import typer

from carbon_callbacks.cli.terminal import say, warn
from carbon_core.data import text
from carbon_core.input_files import bytes_of
from carbon_core.outputs.base import make_directory, replace

FILES = ("grafana-dashboard.json", "prometheus-rules.yml")


def run(directory: Path, *, force: bool) -> None:
    """Write the shipped files and print their paths.

    Exit with 2 if one exists with other content, before any is written, unless `force` is set; with 1 if
    one cannot be written.

    Args:
        directory: Where to write them; created if it is absent.
        force: Replace files that were changed.
    """
    contents = {directory / name: text(f"dashboards/{name}").encode() for name in FILES}
    try:
        changed = [path for path, data in contents.items() if _differs(path, data)]
        if changed and not force:
            for path in changed:
                warn(f"{path} exists with other content: use --force to replace it")
            raise typer.Exit(2)
        make_directory(directory)
        for path, data in contents.items():
            replace(path, data)
            say(path)
    except OSError as error:
        warn(f"cannot write to {directory}: {error.strerror or error}")
        raise typer.Exit(1) from None


def _differs(path: Path, data: bytes) -> bool:
    try:
        return bytes_of(path, len(data)) != data
    except FileNotFoundError:
        return False
    except OSError:  # it is larger, cannot be read, or is no regular file
        return path.exists()
