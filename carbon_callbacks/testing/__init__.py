"""Tests for a custom adapter: what every callback of this package guarantees; needs pytest.

Inherit from `AdapterContract` and set `framework` to your subclass of `Framework`
(docs/your-own-framework.md).
"""
# ruff: noqa: E402 - pytest rewrites the assertions of modules that are not yet imported

from __future__ import annotations

import pytest

for _module in ("adapted", "ends", "framework", "harmless", "machine", "measured"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from carbon_callbacks.testing.contract import AdapterContract
from carbon_callbacks.testing.ends import via_pickle
from carbon_callbacks.testing.framework import (
    EPOCHS,
    JOULES_PER_KWH,
    TRAIN_BATCH_S,
    TRAIN_BATCHES,
    VALIDATE_BATCH_S,
    VALIDATE_BATCHES,
    WATTS,
    WHOLE_EPOCH_KWH,
    Boom,
    Fault,
    Framework,
    Outcome,
    both,
    clockwork,
    nothing,
    raising,
)
from carbon_callbacks.testing.machine import (
    Machine,
    assert_two_runs,
    break_something,
    change_parts,
    check_nothing_outlives_a_test,
    collect,
    count_marks,
    empty_place,
    fake_machine,
    hold_search,
    open_files_under,
    phase_joules,
    process_state,
    receipts,
    rows,
    run_python,
    threads_of_ours,
)
from carbon_callbacks.testing.measured import ALL_STARTS, FORECAST, PER_EPOCH, TOTALS

__all__ = [
    "ALL_STARTS",
    "EPOCHS",
    "FORECAST",
    "JOULES_PER_KWH",
    "PER_EPOCH",
    "TOTALS",
    "TRAIN_BATCHES",
    "TRAIN_BATCH_S",
    "VALIDATE_BATCHES",
    "VALIDATE_BATCH_S",
    "WATTS",
    "WHOLE_EPOCH_KWH",
    "AdapterContract",
    "Boom",
    "Fault",
    "Framework",
    "Machine",
    "Outcome",
    "assert_two_runs",
    "both",
    "break_something",
    "change_parts",
    "check_nothing_outlives_a_test",
    "clockwork",
    "collect",
    "count_marks",
    "empty_place",
    "fake_machine",
    "hold_search",
    "nothing",
    "open_files_under",
    "phase_joules",
    "process_state",
    "raising",
    "receipts",
    "rows",
    "run_python",
    "threads_of_ours",
    "via_pickle",
]
