"""Reads runs from receipts, and from journals where no receipt can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carbon_core.decoding import DecodingError
from carbon_core.input_files import InputFileError
from carbon_core.outputs import journal_locks, journal_reading, receipt, receipt_reading
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.journal_locks import SUFFIX as JOURNAL_SUFFIX
from carbon_core.outputs.journal_locks import Writer
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.record import replace


def read(path: Path) -> Receipt:
    """Read a run from a receipt or a journal; of a journal that is being written, the run so far.

    Raises:
        InputFileError: The file cannot be used; the error has the reason.
    """
    if path.suffix != ".jsonl":
        return receipt_reading.read(path)
    try:
        report = journal_reading.read(path)
        found = receipt_reading.of_report(report)
    except DecodingError as error:
        raise InputFileError(path, f"has no valid record of a run: {error}") from error
    writer = writer_of(path) if found.status == "interrupted" else None
    # Its open trials have not failed.
    return replace(found, status=writer.status, trials=report.trials) if writer else found


def writer_of(path: Path) -> Writer | None:
    """Return the process that writes a journal; None for one that is not being written."""
    try:
        return journal_locks.writer_of(path)
    except OSError:  # deleted since it was read
        return None


def in_directory(directory: Path) -> Iterator[tuple[Path, Receipt | InputFileError]]:
    """Yield each run of a directory once, and the files that cannot be used.

    Of a run with several files, such as a copy under another name, the first one counts: a receipt
    before a journal.

    Args:
        directory: An output directory, or its ``carbon_runs``.
    """
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    try:
        next(runs.iterdir(), None)  # `Path.glob` finds nothing in a directory that it cannot read
    except FileNotFoundError:
        return
    except OSError as error:
        yield runs, InputFileError(runs, error)
        return
    seen: set[str] = set()
    for suffix in (receipt.SUFFIX, JOURNAL_SUFFIX):
        for path in sorted(runs.glob(f"*{suffix}")):
            if path.name.removesuffix(suffix) in seen:
                continue
            try:
                found = read(path)
            except InputFileError as error:
                yield path, error
                continue
            if found.run.run_id not in seen:
                seen.add(found.run.run_id)
                yield path, found
