"""Ranks whose meters all failed: the totals of the training are without them, and a warning says so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from core.outputs.conftest import report_of

from carbon_callbacks._training.rank_sync import RankSync
from carbon_callbacks._training.state import TrainingState
from carbon_callbacks._training.totals import RankTotals
from carbon_core.records import Energy, Snapshot


def unread() -> Any:
    whole = report_of()
    end = whole.window.end
    nothing = tuple(Energy(0.0, 0.0, whole.duration_s) for _ in end.devices)
    return replace(whole, window=Snapshot(end.t_ns, end.devices, nothing) - Snapshot(0))


def test_a_rank_without_any_reading_is_unknown_and_not_zero() -> None:
    state = TrainingState()
    unknown, known = state.own_totals(unread()), state.own_totals(report_of())
    assert (unknown.totals, unknown.phases, unknown.own) == ({}, {}, None)
    assert unknown.is_unknown
    assert not known.is_unknown
    assert RankTotals.of_plain(unknown.plain()).is_unknown
    combined = state.combine(known, [unknown])
    assert combined.totals["energy_kwh"] == known.totals["energy_kwh"]


def test_the_end_of_a_training_warns_of_ranks_without_any_reading() -> None:
    warned: list[str] = []
    tracker: Any = SimpleNamespace(warn=warned.append, running=True, report=lambda **_: report_of())
    sync: Any = object.__new__(RankSync)
    sync._tracker, sync._state = tracker, TrainingState()
    sync._state.others = [sync._state.own_totals(unread())]
    sync._warn_of_unknown_ranks()
    assert warned == ["no meter of 1 of 2 ranks gave a reading: totals are without them"]
    sync._state.others = []
    sync._warn_of_unknown_ranks()
    assert len(warned) == 1
