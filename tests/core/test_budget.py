"""Budgets: a warning at 50, 80 and 100 %, once each; a limit stays reached."""

from __future__ import annotations

import pytest
from faults.lab import JOULES_PER_KWH, lab, said

from carbon_core.budget import Budget


def test_each_share_is_told_once_and_the_limit_stays_reached() -> None:
    told: list[str] = []
    budget = Budget(100 * 100 / JOULES_PER_KWH, None, told.append)
    tracker, clock = lab(100.0, budget=budget)
    tracker.start()
    spent: list[bool] = []
    for _ in range(12):
        clock.advance(10)
        tracker.report()
        spent.append(tracker.over_budget)
    assert spent == [False] * 9 + [True] * 3
    assert [text.split(": ")[0] for text in told] == [
        f"energy budget {level} used" for level in ("50%", "80%", "100%")
    ]
    assert all(text.endswith(" of 2.78 Wh (budget_kwh)") for text in told)
    tracker.stop()
    assert not tracker.over_budget, "the next run has its own"


@pytest.mark.parametrize("kg", [0.0001, 1e9])
def test_emissions_have_a_limit_of_their_own(kg: float) -> None:
    told: list[str] = []
    tracker, clock = lab(1000.0, budget=Budget(1e9, kg, told.append))
    tracker.start()
    clock.advance(3600)
    tracker.report()
    assert tracker.over_budget is (kg < 1)
    assert len(told) == (kg < 1)
    tracker.stop()


def test_a_run_without_a_limit_is_never_over_it() -> None:
    tracker, clock = lab()
    assert not tracker.over_budget
    tracker.start()
    clock.advance(1e6)
    tracker.report()
    assert not tracker.over_budget
    tracker.stop()
    assert not [line for line in said(tracker) if "budget" in line]
