"""The command ``carbon-callbacks``; without the extra ``cli`` it prints how to install it."""

from __future__ import annotations

import io
import sys

from carbon_callbacks._missing import package_of


def main() -> int:
    """Run the command and return its exit status."""
    try:
        from carbon_callbacks.cli import terminal

        terminal.ignore_unusable_size()  # before the help pages are made, which depend on it
        from carbon_callbacks.cli.app import app
    except ImportError as error:
        missing = package_of(error)
        if not missing or missing.startswith("carbon_"):
            raise
        print(
            f"carbon-callbacks: the command line needs typer and rich, and {missing} is missing: "
            "pip install 'carbon-callbacks[cli]'",
            file=sys.stderr,
        )
        return 1
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode shows question marks instead of raising an exception.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # now, while an error can still be reported
    except BrokenPipeError:  # as in `carbon-callbacks sources | head`
        return terminal.discard_output()
    except OSError as error:
        return terminal.report_failed_output(error)
    return 0
