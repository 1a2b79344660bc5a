"""The table of all ways, after they ran: which are the same with and without the callback."""

from collections import Counter

import pytest

RESULTS = pytest.StashKey[list[tuple[str, str, list]]]()
SHOWN = 4


def pytest_configure(config):
    """Make room for the results."""
    config.stash[RESULTS] = []


@pytest.fixture
def results(request):
    """The rows of the table: framework, way, differences."""
    return request.config.stash[RESULTS]


def pytest_terminal_summary(terminalreporter, config):
    """Print the table."""
    rows = config.stash.get(RESULTS, [])
    if not rows:
        return
    terminalreporter.section("with the callback and without it")
    width = max(len(f"{framework}  {way}") for framework, way, _ in rows)
    allowed: Counter[str] = Counter()
    for framework, way, found in rows:
        differing = [one for one in found if not one.allowed]
        allowed.update({one.allowed for one in found if one.allowed})
        verdict = f"{len(differing)} differences" if differing else "same"
        terminalreporter.write_line(f"{f'{framework}  {way}':{width}}  {verdict}")
        for one in differing[:SHOWN]:
            terminalreporter.write_line(f"    {one}")
    same = sum(all(one.allowed for one in found) for _, _, found in rows)
    terminalreporter.write_line(f"{same} of {len(rows)} ways are the same")
    for pattern, count in allowed.items():
        terminalreporter.write_line(f"    allowed in {count} ways: {pattern}")
