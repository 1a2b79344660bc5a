"""The suite's machine lies nowhere: its own time zone would price the runs that no setting places."""

import os

import pytest

os.environ["TZ"] = "UTC"


@pytest.fixture(autouse=True)
def _lines_of_its_own():
    """Each test is a program of its own: the lines of its runs are not folded into another's."""
    from carbon_core.tracker import run_lines

    run_lines.forget()
