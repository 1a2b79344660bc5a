"""Which GPUs count, by the rules of the settings and of CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import pytest

from carbon_core.hardware.gpu_selection import Selection, select

UUIDS = [
    "GPU-5d1f2a3b-0000-1111-2222-333344445555",
    "GPU-5d1fffff-0000-1111-2222-333344445555",
    "GPU-a0b1c2d3-0000-1111-2222-333344445555",
]


def chosen(gpu_ids: list[int | str] | None, visible: str | None = None) -> tuple[int, ...]:
    selection = select(UUIDS, gpu_ids, visible)
    assert selection.problem == ""
    return selection.indices


def test_all_when_nothing_is_said() -> None:
    assert chosen(None) == (0, 1, 2)
    assert select([], None, None) == Selection(())


@pytest.mark.parametrize(
    ("gpu_ids", "indices"),
    [
        ([0], (0,)),
        ([2, 0], (2, 0)),
        (["1"], (1,)),
        ([], ()),
        ([UUIDS[1]], (1,)),
        ([UUIDS[1].upper()], (1,)),
        (["GPU-a0"], (2,)),
        (["GPU-5d1f2"], (0,)),
        (["GPU-a0b1c2d3", 2], (2,)),
        ([1, 1, "1"], (1,)),
        (["MIG-GPU-a0b1c2d3-0000-1111-2222-333344445555/1/0"], (2,)),
    ],
)
def test_the_users_choice(gpu_ids: list[int | str], indices: tuple[int, ...]) -> None:
    assert chosen(gpu_ids) == indices


def test_the_users_choice_beats_the_visible_devices() -> None:
    assert chosen([2], "0") == (2,)
    assert chosen([], "0") == ()


@pytest.mark.parametrize(
    "gpu_id", [3, "9", "9" * 5_000, "GPU-5d1f", "GPU-ffff", "MIG-ffff", "GPU-"]
)
def test_a_gpu_that_is_not_there_or_ambiguous_is_said_and_the_others_count(
    gpu_id: int | str,
) -> None:
    selection = select(UUIDS, [0, gpu_id], None)
    assert selection.indices == (0,)
    assert selection.problem.startswith(f"gpu_ids: no GPU is called {gpu_id}; ")
    assert f"2 ({UUIDS[2]})" in selection.problem


def test_a_machine_without_gpus_says_so() -> None:
    assert select([], [0], None).problem.endswith("this machine has none")


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("", ()),
        (" ", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", (0,)),
        ("2, 1", (2, 1)),
        ("0,-1,1", (0,)),
        ("0,7,1", (0,)),
        ("0,x,1", (0,)),
        ("0,,1", (0,)),
        (UUIDS[2], (2,)),
        ("GPU-a0,0", (2, 0)),
        ("GPU-5d1f,2", ()),
        ("MIG-GPU-5d1f2a3b-0000-1111-2222-333344445555/0/0", (0,)),
        ("0,1,2,3", (0, 1, 2)),
        (f"0,{'9' * 5_000},1", (0,)),
    ],
)
def test_the_visible_devices(visible: str, indices: tuple[int, ...]) -> None:
    assert chosen(None, visible) == indices


def test_two_digits_are_one_index() -> None:
    uuids = [f"GPU-{i:08x}" for i in range(12)]
    assert select(uuids, None, "11,10").indices == (11, 10)
    assert select(uuids, [11], None).indices == (11,)
