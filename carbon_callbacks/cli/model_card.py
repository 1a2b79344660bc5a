"""``carbon-callbacks model-card``: write the emissions of a finished training to its model card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import typer

from carbon_callbacks.cli.terminal import say, warn
from carbon_callbacks.model_card import write_entry
from carbon_core.errors import OutputError
from carbon_core.outputs import past_runs, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.card_entry import entry_of_receipt
from carbon_core.outputs.receipt_reading import EVALUATION, TRAINING, Receipt

# Of the files that were written last, so many are read.
_MOST_READ = 500


def run(directory: Path, *, receipt_path: Path | None, training_type: str) -> None:
    """Write the emissions of a run to a model's ``README.md`` and print them.

    Args:
        directory: The model's directory.
        receipt_path: The receipt; by default that of the latest training in the model's directory, or
            else in the working directory.
        training_type: ``pre-training`` or ``fine-tuning``, or an empty string.
    """
    path = receipt_path or _latest_training(directory, Path())
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
    say(f"{card}: {json.dumps(entry)} from {path}")


def _latest_training(*directories: Path) -> Path | None:
    """Return the receipt of the latest training, or else of the latest run that is no evaluation.

    Of the first directory that has one; exit with 2 if there are only evaluations.
    """
    distinct = {directory.absolute(): directory for directory in directories}.values()
    found = [list(_receipts(directory)) for directory in distinct]
    for is_wanted in (_is_training, _is_not_evaluation):
        for receipts in found:
            if chosen := [(one.ended_at, path) for path, one in receipts if is_wanted(one)]:
                return max(chosen)[1]
    if any(found):
        _fail("only evaluations found, no training: use --receipt")
    return None


def _is_training(found: Receipt) -> bool:
    return found.kind == TRAINING


def _is_not_evaluation(found: Receipt) -> bool:
    return found.kind != EVALUATION


def _receipts(directory: Path) -> Iterator[tuple[Path, Receipt]]:
    """Yield the receipts of a directory that were written last; warn about those that are invalid."""
    paths = (directory / RUNS_DIRECTORY).glob(f"*{receipt.SUFFIX}")
    for path in sorted(paths, key=_modified_s, reverse=True)[:_MOST_READ]:
        try:
            yield path, past_runs.read(path)
        except OutputError as error:
            warn(error)


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a link to nothing
        return 0.0


def _fail(reason: str) -> NoReturn:
    warn(reason)
    raise typer.Exit(2)
