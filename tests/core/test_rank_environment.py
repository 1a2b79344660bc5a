"""Ranks: exactly one process of a node measures it."""

from __future__ import annotations

import pytest

from carbon_core import EmissionsTracker
from carbon_core.rank_environment import Rank, rank_of


def test_outside_any_job_a_process_measures() -> None:
    assert rank_of({}) == Rank(0, 0)
    assert rank_of({}).measures_node


@pytest.mark.parametrize(
    ("local", "world"),
    [
        ("LOCAL_RANK", "RANK"),
        ("SLURM_LOCALID", "SLURM_PROCID"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_RANK"),
        ("MPI_LOCALRANKID", "PMI_RANK"),
        ("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_RANK"),
    ],
)
def test_every_launcher_is_understood(local: str, world: str) -> None:
    rank = rank_of({local: "3", world: "11"})
    assert (rank.local, rank.world, rank.measures_node) == (3, 11, False)
    assert rank_of({local: "0", world: "8"}).measures_node


def test_torchrun_within_slurm_goes_by_torchrun() -> None:
    environ = {"LOCAL_RANK": "2", "RANK": "6", "SLURM_LOCALID": "0", "SLURM_PROCID": "1"}
    assert rank_of(environ) == Rank(2, 6)


@pytest.mark.parametrize("value", ["", " ", "-1", "one", "1.5", "0x1", "9" * 5_000])
def test_what_is_no_rank_is_passed_over(value: str) -> None:
    assert rank_of({"LOCAL_RANK": value, "SLURM_LOCALID": "2"}) == Rank(2, 0)


def test_blanks_around_a_rank_do_not_matter() -> None:
    assert rank_of({"LOCAL_RANK": " 1 ", "RANK": "5\n"}) == Rank(1, 5)


@pytest.mark.parametrize(("nodes", "per_node"), [(1, 1), (1, 8), (4, 4)])
def test_of_n_ranks_on_m_nodes_m_measure(nodes: int, per_node: int) -> None:
    ranks = [
        rank_of({"LOCAL_RANK": str(local), "RANK": str(node * per_node + local)})
        for node in range(nodes)
        for local in range(per_node)
    ]
    assert sum(rank.measures_node for rank in ranks) == nodes
    assert sorted(rank.world for rank in ranks) == list(range(nodes * per_node))


def test_the_ranks_of_a_node_add_up_to_one_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("ranks")
    joules = []
    for local in range(3):
        monkeypatch.setenv("LOCAL_RANK", str(local))
        with EmissionsTracker(output_dir=output, log_level="ERROR") as tracker:
            pass
        assert tracker.final_report is not None
        joules.append(tracker.final_report.window.joules)
    assert joules[0] > 0
    assert joules[1:] == [0.0, 0.0]
    assert len((output / "emissions.csv").read_text(encoding="utf-8").splitlines()) == 2
