"""Errors of commands whose extra is missing: how to install it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from carbon_callbacks._missing import package_of
from carbon_callbacks.cli.terminal import warn


@contextlib.contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Exit with 1 and a message if a package is missing that an extra installs.

    Args:
        extra: The extra.
        what: What needs it, as the subject of a sentence.
    """
    try:
        yield
    except ImportError as error:
        missing = package_of(error)
        if not missing or missing.startswith("carbon_"):
            raise
        warn(
            f"{what} needs a package that is missing, {missing}: "
            f"pip install 'carbon-callbacks[{extra}]'"
        )
        raise typer.Exit(1) from error
