"""Runs and jobs of Slurm: which belong together, the ratio of their energies, and why they differ."""

from __future__ import annotations

from typing import Any

import pytest
from core.outputs.conftest import report_of

from carbon_core.accounting.job_energy import JobEnergy, Joined, join
from carbon_core.accounting.slurm_text import AccountedJob
from carbon_core.job_environment import JobFacts
from carbon_core.outputs.history import PastRun, run_of
from carbon_core.outputs.receipt_reading import of_report
from carbon_core.units import joules

# Of two hours on one node, with 4 kWh of hardware, as each run of `run`.
JOB = AccountedJob("7", ("7",), "alps", "COMPLETED", 7200.0, 1, 40, joules(5.0))


def run(run_id: str, job: JobFacts | None = None, **facts: Any) -> PastRun:
    """Return a run of two hours with 4 kWh, times a PUE of 1.5."""
    return run_of(of_report(report_of(run_id, job=job, **facts)), None)


def slurm(job_id: str = "7", node: str = "n1", cluster: str = "alps", **facts: str) -> JobFacts:
    return JobFacts("slurm", job_id, node=node, cluster=cluster, **facts)


def only(joined: Joined) -> JobEnergy:
    (found,) = joined.jobs
    return found


def has(found: JobEnergy, *words: str) -> list[bool]:
    return [any(word in reason for reason in found.reasons) for word in words]


def test_the_ratio_is_that_of_the_hardware_without_pue() -> None:
    found = only(join([JOB], [run("a", slurm())]))
    assert found.energy_kwh is not None
    assert found.energy_kwh.value == pytest.approx(4.0)
    assert found.accounted_kwh == pytest.approx(5.0)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(0.8)
    assert found.ratio.low < 0.8 < found.ratio.high
    assert sum(found.components_kwh.values()) == pytest.approx(4.0)
    assert found.covered == pytest.approx(1.0)
    assert has(found, "PUE (1.5)", "cover", "whole nodes", "processors and GPUs and memory") == [
        True, False, True, True,
    ]  # fmt: skip


def test_energies_of_several_runs_add_up_and_one_within_another_counts_once() -> None:
    inner = run("b", slurm(), within=("a",))._replace(part_of="a", counted=0.0)
    later = run("c", slurm(), started_at="2026-01-01T12:00:00+00:00")
    long = AccountedJob("7", ("7",), "", "", 14_400.0, 1, 40, joules(8))
    found = only(join([long], [run("a", slurm()), inner, later]))
    assert found.energy_kwh is not None
    assert found.energy_kwh.value == pytest.approx(8.0)
    assert found.covered == pytest.approx(1.0)
    assert has(found, "more than once") == [False]


def test_runs_and_jobs_without_the_other_are_listed() -> None:
    runs = [
        run("a", slurm()), run("other", slurm("8")), run("none"), run("pbs", JobFacts("pbs", "7")),
    ]  # fmt: skip
    joined = join([JOB, AccountedJob("9", ("9",))], runs)
    assert [job.job_id for job in joined.without_runs] == ["9"]
    assert [one.run_id for one in joined.without_accounting] == ["other"]
    assert [one.run_id for one in joined.without_job] == ["none", "pbs"]


def test_an_element_of_an_array_is_found_by_either_id() -> None:
    of_array = slurm("130", array_id="123", array_index="4")
    by_raw = AccountedJob("123_4", ("130",))
    by_index = AccountedJob("123_4")
    for job in (by_raw, by_index):
        assert only(join([job, AccountedJob("123_5", ("131",))], [run("a", of_array)])).job is job
    last = slurm("123", array_id="123", array_index="9")
    jobs = [AccountedJob("123_4", ("130",)), AccountedJob("123_9", ("123",))]
    assert only(join(jobs, [run("a", last)])).job.job_id == "123_9"


def test_runs_of_all_components_belong_to_a_heterogeneous_job() -> None:
    job = AccountedJob("123", ("123", "124"), "", "", 7200.0, 2, 4, joules(8))
    found = only(join([job], [run("a", slurm("123")), run("b", slurm("124", "n2"))]))
    assert [one.run_id for one in found.runs] == ["a", "b"]
    assert found.covered == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("of_run", "clusters", "matched"),
    [
        ("alps", ("alps", "jura"), "alps"),
        ("Alps", ("alps", "jura"), "alps"),
        ("alps", ("",), ""),
        ("", ("alps",), "alps"),
        ("", ("alps", "jura"), None),
        ("alps", ("jura",), None),
    ],
)
def test_a_job_of_another_cluster_is_another_job(
    of_run: str, clusters: tuple[str, ...], matched: str | None
) -> None:
    jobs = [AccountedJob("7", ("7",), name) for name in clusters]
    joined = join(jobs, [run("a", slurm(cluster=of_run))])
    assert [found.job.cluster for found in joined.jobs] == ([] if matched is None else [matched])


def test_reasons_name_what_the_runs_lack() -> None:
    large = AccountedJob("7", ("7",), "", "RUNNING", 14_400.0, 4, 40, joules(50))
    found = only(join([large], [run("a", slurm(), tracking_mode="process")]))
    assert found.covered == pytest.approx(1 / 8)
    assert has(found, "12 % of the job's time", "1 of the job's 4 nodes", "share of the node") == [
        True, True, True,
    ]  # fmt: skip
    assert has(found, "not over", "within the 95 %") == [True, False]


def test_runs_of_attempts_that_the_accounting_lacks_are_noticed() -> None:
    earlier = run("a", slurm(), started_at="2025-12-31T12:00:00+00:00")
    later = run("b", slurm())
    found = only(join([JOB], [earlier, later]))
    assert has(found, "sacct --duplicates") == [True]
    both = AccountedJob("7", ("7",), "", "", 14_400.0, 1, 40, joules(8), attempts=2)
    assert has(only(join([both], [earlier, later])), "sacct --duplicates") == [False]
    assert has(only(join([JOB], [later])), "sacct --duplicates") == [False]


def test_runs_at_the_same_time_on_a_node_are_noticed() -> None:
    pair = [run("a", slurm()), run("b", slurm())]
    assert has(only(join([JOB], pair)), "more than once") == [True]
    apart = [run("a", slurm()), run("b", slurm(node="n2"))]
    assert has(only(join([JOB], apart)), "more than once") == [False]
    hidden = [run("a", slurm(node="")), run("b", slurm(node=""))]
    assert has(only(join([JOB], hidden)), "more than once") == [False]


def test_without_names_of_nodes_the_covered_time_of_several_is_unknown() -> None:
    pair = AccountedJob("7", ("7",), "", "", 7200.0, 2, 40, joules(8))
    hidden = [run("a", slurm(node="")), run("b", slurm(node=""))]
    assert only(join([pair], hidden)).covered is None
    assert only(join([JOB], hidden)).covered == pytest.approx(1.0)


def test_reasons_of_the_accounting() -> None:
    twice = AccountedJob("7", ("7",), energy_j=joules(9), steps_j=joules(9), batch_j=joules(5))
    assert has(only(join([twice], [run("a", slurm())])), "PrologFlags") == [True]
    again = AccountedJob("7", ("7",), energy_j=joules(4), attempts=3, is_rounded=True)
    assert has(only(join([again], [run("a", slurm())])), "3 times", "rounded") == [True, True]
    none = only(join([AccountedJob("7", ("7",))], [run("a", slurm())]))
    assert has(none, "AcctGatherEnergyType") == [True]
    assert (none.ratio, none.accounted_kwh, none.covered) == (None, None, None)


def test_an_energy_within_the_interval_is_no_contradiction() -> None:
    near = AccountedJob("7", ("7",), energy_j=joules(4.01))
    assert has(only(join([near], [run("a", slurm())])), "within the 95 %") == [True]


def test_a_run_without_energy_has_no_ratio() -> None:
    unknown = run("a", slurm())._replace(is_known=False)
    found = only(join([JOB], [unknown]))
    assert (found.energy_kwh, found.ratio) == (None, None)
    assert has(found, "1 of 1 runs is unknown") == [True]


def test_whole_nodes_are_compared_where_every_run_has_an_estimate() -> None:
    one, other = (run(name, slurm())._replace(node_kwh=9.0, pue=1.5) for name in "ab")
    found = only(join([JOB], [one, other]))
    assert found.node_kwh == pytest.approx(12.0)
    assert found.node_ratio == pytest.approx(2.4)
    without = other._replace(node_kwh=None)
    assert only(join([JOB], [one, without])).node_ratio is None
    assert only(join([JOB], [one, without._replace(counted=0.0)])).node_kwh == pytest.approx(6.0)
