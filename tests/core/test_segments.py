"""The segments of a resumed training: each counts once, whatever a checkpoint holds."""

from __future__ import annotations

import itertools
import json

import pytest

from carbon_core.records import Segment
from carbon_core.segments import merged, segments_of, state_of


def segment(run_id: str = "a", duration_s: float = 10.0, kwh: float = 1.0) -> Segment:
    return Segment(run_id, f"2026-01-01T00:00:0{ord(run_id[0]) - 96}", duration_s, kwh, kwh / 10)


def test_a_state_is_plain_and_reads_back_equal():
    segments = (segment("a"), segment("b", 3.0, 0.25))
    state = state_of(segments)
    assert json.loads(json.dumps(state)) == state
    assert segments_of(json.loads(json.dumps(state))) == segments


@pytest.mark.parametrize("order", list(itertools.permutations([1.0, 2.0, 3.0])))
def test_the_longest_state_of_a_segment_counts_and_only_that(order):
    states = [segment("a", 10 * kwh, kwh) for kwh in order]
    assert merged([*states, *states]) == (segment("a", 30.0, 3.0),)


def test_segments_are_in_the_order_in_which_they_started():
    assert [one.run_id for one in merged([segment("c"), segment("a"), segment("b")])] == [*"abc"]


def test_runs_that_go_on_are_left_out():
    assert merged([segment("a"), segment("b"), segment("c")], without=["a", "c"]) == (segment("b"),)


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "text",
        {},
        {"version": 2, "segments": []},
        {"version": 1},
        {"version": 1, "segments": [{"run_id": "a"}]},
        {"version": 1, "segments": 7},
        {"version": 1, "segments": [{**segment("a")._asdict(), "started_at": "soon"}]},
        {"version": 1, "segments": [segment("a", kwh=float("nan"))._asdict()]},
        {"version": 1, "segments": [segment("a", kwh=-1.0)._asdict()]},
        {"version": 1, "segments": [segment("a", kwh=float("inf"))._asdict()]},
        {"version": 1, "segments": [segment("a", duration_s="long")._asdict()]},
        {"version": 1, "segments": [segment("../../etc/passwd")._asdict()]},
    ],
)
def test_a_state_that_is_none_of_ours_is_refused(state):
    with pytest.raises(ValueError, match=r"of carbon-callbacks|segment of a run"):
        segments_of(state)
