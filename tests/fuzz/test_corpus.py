"""Inputs that a reader once could not handle, and the seeds that the fuzzers begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle import HERE, judge, names, target


def _inputs() -> list[object]:
    found: list[object] = []
    for name in names():
        one = target(name)
        seeds = [pytest.param(name, seed, id=f"{name}-{i}") for i, seed in enumerate(one.seeds)]
        kept = [
            pytest.param(name, path.read_bytes(), id=f"{name}-{path.name}") for path in one.corpus
        ]
        found += seeds + kept
    return found


@pytest.mark.parametrize(("name", "data"), _inputs())
def test_a_reader_handles_what_was_found(name: str, data: bytes) -> None:
    judge(target(name), data)


def test_each_input_that_is_kept_belongs_to_a_target() -> None:
    kept = {path.name for path in Path(HERE, "corpus").iterdir() if path.is_dir()}
    assert kept <= set(names())
