"""The command ``carbon-callbacks``. Needs the extra ``cli``; says so where it is absent."""

from __future__ import annotations

import io
import sys


def main() -> int:
    """Run the command and return its exit status."""
    try:
        from carbon_callbacks.cli.app import app
    except ImportError as error:
        if error.name not in {"typer", "rich"}:
            raise
        print(
            "carbon-callbacks: the command needs two more packages: "
            "pip install 'carbon-callbacks[cli]'",
            file=sys.stderr,
        )
        return 1
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode gets a question mark, not an exception.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
    return 0
