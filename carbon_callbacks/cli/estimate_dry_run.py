"""A dry run of a program: its first training becomes one, in a child process (`_program_dry_run`)."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from carbon_callbacks import _estimating
from carbon_callbacks._program_dry_run import RESULT, STEPS
from carbon_callbacks.cli.run import forwarding_signals, start
from carbon_callbacks.cli.terminal import environment_of_child
from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.errors import CarbonError
from carbon_core.estimation import Planned
from carbon_core.input_files import bytes_of
from carbon_core.record import record

_DIRECTORY = Path(_estimating.__file__).parent


@record(frozen=True)
class _Result:
    """The content of the file of the program: the estimate, or the reason why there is none."""

    planned: Planned | None = None
    error: str = ""


def planned_by(command: Sequence[str], steps: int, overrides: Mapping[str, str]) -> Planned:
    """Return energy and time of the first training of a program, whose output goes to stderr.

    Args:
        command: The program and its arguments.
        steps: Steps to train at least.
        overrides: Settings.

    Raises:
        CarbonError: The program ended before a training began, or a dry run of it is not possible.
    """
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "estimate.json"
        with forwarding_signals() as forward_to:
            child = start(command, _environment(result, steps, overrides), sys.stderr)
            forward_to(child)
            code = child.wait()
        if not result.exists():
            raise CarbonError(
                f"{command[0]} ended with status {code} before a training began: a dry run needs "
                "Lightning, Transformers or Keras, and this package in the program's Python"
            )
        try:
            found = decoded(_Result, parsed(bytes_of(result)))
        except DecodingError as error:
            raise CarbonError(f"the program's estimate is not valid: {error}") from error
    if found.planned is None:
        raise CarbonError(f"no dry run: {found.error}")
    return found.planned


def _environment(result: Path, steps: int, overrides: Mapping[str, str]) -> dict[str, str]:
    environ = environment_of_child()
    path = os.pathsep.join(filter(None, [str(_DIRECTORY), environ.get("PYTHONPATH")]))
    settings = {f"CODECARBON_{key.upper()}": value for key, value in overrides.items()}
    return {**environ, **settings, "PYTHONPATH": path, RESULT: str(result), STEPS: str(steps)}
