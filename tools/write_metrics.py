"""Generates the tables of docs/metrics.md from the table of metrics.

With ``--check``, changes nothing; exit status 1 means that the page would change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from generated import between, write_or_check

from carbon_callbacks.training import METRICS, Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
MARKS = ("<!-- metrics: begin -->\n", "<!-- metrics: end -->")
# Topic of a metric -> title of its table, and when there is a value.
TOPICS = {
    "totals": ("Totals of this run", "In every framework."),
    "epoch": ("Of an epoch", "In every framework; `Training` needs `epoch_begin` and `epoch_end`."),
    "segments": ("Of a training with several runs", "Where a training resumes from a checkpoint."),
    "forecast": ("Forecast", "Where the length of the training is known, and `forecast` is on."),
    "early stopping": (
        "Forecast with early stopping",
        "With `EarlyStopping` or `EarlyStoppingCallback`, once half of `patience` has passed.",
    ),
    "samples": (
        "For each sample",
        "Where samples can be counted: not from a data set without a size. Keras reports no number of "
        "samples, so its callback needs `samples_per_epoch`.",
    ),
    "tokens": ("For each token", "Hugging Face, with `include_num_input_tokens_seen`, and TRL."),
    "improvement": ("For each improvement", "With `improvement_of`."),
}
HEAD = "| metric | unit | | `log_metrics` | of several ranks |\n|---|---|---|---|---|\n"


def tables(metrics: Iterable[Metric]) -> str:
    """Return the tables of some metrics."""
    rows = list(metrics)
    pieces = []
    for topic, (title, condition) in TOPICS.items():
        pieces.append(f"\n### {title}\n\n{condition}\n\n{HEAD}")
        pieces += [_row(one) for one in rows if one.topic == topic]
    return "".join(pieces) + "\n"


def _row(one: Metric) -> str:
    ranks = "of their totals" if one.of_training else one.across_ranks
    return f"| `{one.name}` | {one.unit} | {one.help} | {one.level} | {ranks} |\n"


def page(metrics: Iterable[Metric] = METRICS) -> str:
    """Return the page, with the tables of some metrics."""
    return between(MARKS, tables(metrics), PAGE)


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
