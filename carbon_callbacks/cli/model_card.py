"""``carbon-callbacks model-card``: write the emissions of a finished training to its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import typer

from carbon_callbacks.cli.terminal import say, warn
from carbon_callbacks.model_card import write_entry
from carbon_core.errors import OutputError
from carbon_core.outputs import past_runs, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.card_entry import entry_of_receipt


def run(directory: Path, *, receipt_path: Path | None, training_type: str) -> None:
    """Write the emissions of a run to a model's ``README.md`` and print them.

    Args:
        directory: The model's directory.
        receipt_path: The receipt; by default the newest in the model's or the working directory.
        training_type: ``pre-training`` or ``fine-tuning``, or an empty string.
    """
    path = receipt_path or _latest(directory, Path())
    card = directory / "README.md"
    if path is None:
        _fail(f"no receipt in {directory / RUNS_DIRECTORY} or {RUNS_DIRECTORY}: use --receipt")
    if not card.is_file():
        _fail(f"{card} not found: create the model card first (Trainer.create_model_card)")
    try:
        entry = entry_of_receipt(past_runs.read(path), training_type)
        if not entry:
            _fail(f"nothing was measured in the run of {path}: {card} was not changed")
        write_entry(card, entry)
    except OutputError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot write the emissions of {path} to {card}: {error.strerror or error}")
    say(f"{card}: {json.dumps(entry)}")


def _latest(*directories: Path) -> Path | None:
    found = [
        path
        for directory in directories
        for path in (directory / RUNS_DIRECTORY).glob(f"*{receipt.SUFFIX}")
    ]
    return max(found, key=_modified_s, default=None)


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a link to nothing
        return 0.0


def _fail(reason: str) -> NoReturn:
    warn(reason)
    raise typer.Exit(2)
