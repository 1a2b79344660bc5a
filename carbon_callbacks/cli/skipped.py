"""Names files that were skipped, and runs without a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from carbon_callbacks.cli.terminal import warn

MOST_SHOWN = 20


def print_skipped(skipped: Sequence[tuple[Path, str]]) -> None:
    """Print the files that could not be used, each with the reason, to the error stream."""
    for path, reason in skipped[:MOST_SHOWN]:
        warn(f"{path}: {reason}")
    if len(skipped) > MOST_SHOWN:
        warn(f"{len(skipped) - MOST_SHOWN:,} more files skipped")


def unknown_note(unknown: int, total: int) -> str | None:
    """Return a note on runs in which nothing was measured; None without any."""
    if not unknown:
        return None
    return f"{unknown:,} of {total:,} runs have an unknown energy (not in the totals)"
