"""A short form of the simulation of estimates, with a fixed seed, and the table of its page."""

from pathlib import Path

import pytest

from coverage_simulation import coverage
from coverage_simulation.coverage import simulate
from coverage_simulation.estimating import ESTIMATES
from coverage_simulation.real_trainings import REAL

PAGE = Path(__file__).parents[2] / "docs" / "estimate.md"
RUNS = 12
SEED = 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ESTIMATES)
def test_estimates_contain_the_truth(name):
    assert not [row.figure for row in simulate(ESTIMATES[name], RUNS, SEED) if row.misses]


def test_the_page_shows_every_family_with_the_real_trainings():
    if not PAGE.exists():
        pytest.skip("the documents are not here")
    shown = coverage.figures_in(PAGE.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(family for family, _ in shown)) == [*ESTIMATES, *REAL]
    assert not [key for key, miss in shown.items() if miss and key[0] in ESTIMATES]
