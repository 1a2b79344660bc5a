"""The group of commands: arguments in error messages are shown as text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup

from carbon_core.escaping import one_line


class Commands(TyperGroup):
    """The commands; an argument in an error message is shown as text."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments of a command."""
        with _plain_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _plain_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Make the messages of errors in the use of a command one line: arguments may be names of files."""
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)
        if isinstance(message, str):
            error.message = one_line(message)  # type: ignore[attr-defined]
        raise
