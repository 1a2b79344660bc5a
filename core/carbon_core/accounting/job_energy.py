"""Compares the energy of a batch system's jobs with that of the runs within them.

Both are energy of hardware: the PUE of the runs is left out, because no batch system has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from carbon_core.accounting.slurm_text import AccountedJob
from carbon_core.job_environment import JobFacts
from carbon_core.limits import time_of
from carbon_core.outputs.history import PastRun
from carbon_core.outputs.run_totals import Total
from carbon_core.records import Component, Estimate
from carbon_core.units import kwh

SCHEDULER = "slurm"
# Less of a job's time is a reason; Slurm has whole seconds.
_WHOLE, _LEAST_S = 0.95, 1.5
_MEANINGFUL = 0.05


class JobEnergy(NamedTuple):
    """A job with the energy that the batch system and the runs have of it.

    Attributes:
        job: The job as the batch system accounts for it.
        runs: The runs within it, by their start.
        energy_kwh: Energy of their hardware without PUE; None where it is unknown, or without runs.
        components_kwh: The same by component.
        node_kwh: Estimate of the whole machines without PUE; None where a run has none.
        covered: Part of the job's time on its nodes (0 to 1) in which a run measured; None if unknown.
        reasons: Why the two energies differ, one text each.
    """

    job: AccountedJob
    runs: tuple[PastRun, ...] = ()
    energy_kwh: Estimate | None = None
    components_kwh: Mapping[Component, float] = {}
    node_kwh: float | None = None
    covered: float | None = None
    reasons: tuple[str, ...] = ()

    @property
    def accounted_kwh(self) -> float | None:
        """Energy that the batch system has; None where it has none."""
        return None if self.job.energy_j is None else kwh(self.job.energy_j)

    @property
    def ratio(self) -> Estimate | None:
        """Energy of the runs divided by that of the batch system."""
        if self.energy_kwh is None or not self.accounted_kwh:
            return None
        return Estimate(*(one / self.accounted_kwh for one in self.energy_kwh))

    @property
    def node_ratio(self) -> float | None:
        """The same for the estimate of whole machines."""
        if self.node_kwh is None or not self.accounted_kwh:
            return None
        return self.node_kwh / self.accounted_kwh


class Joined(NamedTuple):
    """Jobs and runs.

    Attributes:
        jobs: Jobs with runs.
        without_runs: Jobs of which no run was found.
        without_accounting: Runs of jobs that the accounting lacks.
        without_job: Runs that belong to no job of Slurm.
    """

    jobs: tuple[JobEnergy, ...]
    without_runs: tuple[AccountedJob, ...]
    without_accounting: tuple[PastRun, ...]
    without_job: tuple[PastRun, ...]


def join(jobs: Iterable[AccountedJob], runs: Iterable[PastRun]) -> Joined:
    """Assign runs to the jobs that they belong to.

    Args:
        jobs: Jobs of Slurm.
        runs: Runs, each with its job.
    """
    jobs = list(jobs)
    index = _index(jobs)
    found: dict[int, list[PastRun]] = {}
    without_accounting: list[PastRun] = []
    without_job: list[PastRun] = []
    for run in runs:
        if run.job is None or run.job.scheduler != SCHEDULER:
            without_job.append(run)
        elif (number := _job_of(run.job, index)) is None:
            without_accounting.append(run)
        else:
            found.setdefault(number, []).append(run)
    pairs = [(job, found.get(number)) for number, job in enumerate(jobs)]
    return Joined(
        tuple(_compared(job, of_job) for job, of_job in pairs if of_job),
        tuple(job for job, of_job in pairs if not of_job),
        tuple(without_accounting),
        tuple(without_job),
    )


_Key = tuple[str, ...]
_ANY = "*"


def _index(jobs: Sequence[AccountedJob]) -> dict[_Key, int]:
    """Return the numbers of jobs by cluster and id; an id that is ambiguous is left out."""
    index: dict[_Key, int] = {}
    ambiguous: set[_Key] = set()
    for number, job in enumerate(jobs):
        ids: list[_Key] = [(raw,) for raw in job.raw_ids]
        if job.array[0]:
            ids.append(job.array)
        for key in ids:
            for full in ((_name(job.cluster), *key), (_ANY, *key)):
                if index.setdefault(full, number) != number:
                    ambiguous.add(full)
    return {key: number for key, number in index.items() if key not in ambiguous}


def _job_of(run: JobFacts, index: dict[_Key, int]) -> int | None:
    keys: list[_Key] = [(run.job_id,)]
    if run.array_id:
        keys.append((run.array_id, run.array_index))
    # Accounting without the column has no cluster.
    clusters = (_name(run.cluster), "") if run.cluster else (_ANY,)
    numbers = (index.get((cluster, *key)) for key in keys for cluster in clusters)
    return next((number for number in numbers if number is not None), None)


def _name(cluster: str) -> str:
    # Slurm's database has lower case.
    return cluster.lower()


def _compared(job: AccountedJob, runs: Sequence[PastRun]) -> JobEnergy:
    ordered = tuple(sorted(runs, key=lambda run: run.time))
    total = Total()
    joules: dict[Component, float] = {}
    node_kwh: float | None = 0.0
    for run in ordered:
        total.add(run)
        for part in run.parts:
            joules[part.component] = joules.get(part.component, 0.0) + part.joules * run.counted
        if run.counted:
            is_known = node_kwh is not None and run.node_kwh is not None
            node_kwh = node_kwh + run.node_kwh / run.pue if is_known else None  # type: ignore[operator]
    components: dict[Component, float] = {name: kwh(value) for name, value in joules.items()}
    found = JobEnergy(
        job,
        ordered,
        _without_pue(total, sum(components.values())),
        components,
        node_kwh,
        _covered(job, ordered),
    )
    return found._replace(reasons=tuple(_reasons(found)))


def _without_pue(total: Total, hardware_kwh: float) -> Estimate | None:
    """Return the energy of the hardware with the relative errors of the total."""
    known = total.energy_kwh
    if not total.is_known or known.value <= 0:
        return None
    return Estimate(*(hardware_kwh * one / known.value for one in known))


def _covered(job: AccountedJob, runs: Sequence[PastRun]) -> float | None:
    """Return the part of a job's time on all of its nodes in which a run measured."""
    nodes = max(job.nodes or 1, 1)
    if not job.elapsed_s or (nodes > 1 and not all(run.job and run.job.node for run in runs)):
        return None  # runs at the same time may be on one node or on several
    measured_s = sum(map(_union_s, _spans(runs).values()))
    return min(1.0, measured_s / (job.elapsed_s * nodes))


def _spans(runs: Iterable[PastRun]) -> dict[str, list[tuple[float, float]]]:
    """Return begin and end of each run by node, in seconds."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        begin_s = time_of(run.time).timestamp()
        node = run.job.node if run.job else ""
        spans.setdefault(node, []).append((begin_s, begin_s + run.duration_s))
    return spans


def _union_s(spans: list[tuple[float, float]]) -> float:
    """Return the time that is in at least one of some spans, in seconds."""
    total_s, until_s = 0.0, float("-inf")
    for begin_s, end_s in sorted(spans):
        total_s += max(0.0, end_s - max(begin_s, until_s))
        until_s = max(until_s, end_s)
    return total_s


def _nothing_accounted(found: JobEnergy) -> str:
    if found.job.energy_j is not None:
        return ""
    return "Slurm has no energy: AcctGatherEnergyType is not set, or no step of the job was read"


def _nothing_measured(found: JobEnergy) -> str:
    unknown = sum(not run.is_known for run in found.runs)
    return f"the energy of {unknown:,} of {len(found.runs):,} runs is unknown" if unknown else ""


def _not_over(found: JobEnergy) -> str:
    alive = sum(run.writer is not None for run in found.runs)
    if alive:
        return f"{alive:,} of {len(found.runs):,} runs are still running"
    if any(state in found.job.state for state in ("RUNNING", "PENDING", "SUSPENDED")):
        return "the job is not over: Slurm adds the energy of a step at its end"
    return ""


def _other_nodes(found: JobEnergy) -> str:
    nodes = {run.job.node for run in found.runs if run.job and run.job.node}
    if not nodes or len(nodes) >= (found.job.nodes or 1):
        return ""
    return f"the runs are of {len(nodes):,} of the job's {found.job.nodes:,} nodes"


def _other_time(found: JobEnergy) -> str:
    if found.covered is None or found.covered >= _WHOLE:
        return ""
    elapsed_s = found.job.elapsed_s or 0.0
    if elapsed_s * (1.0 - found.covered) < _LEAST_S:
        return ""
    return f"the runs cover {found.covered * 100:.0f} % of the job's time on its nodes"


def _missing_attempts(found: JobEnergy) -> str:
    if found.job.elapsed_s is None or _not_over(found):
        return ""
    longest_s = found.job.elapsed_s * max(found.job.nodes or 1, 1)
    measured_s = sum(map(_union_s, _spans(found.runs).values()))
    if measured_s <= longest_s * (1 + _MEANINGFUL) + _LEAST_S:
        return ""
    return (
        "the runs are longer than the job: sacct --duplicates prints all attempts of a requeued one"
    )


def _scope(found: JobEnergy) -> str:
    if any(run.tracking_mode == "process" for run in found.runs):
        return "the runs count the job's share of the node, Slurm whole nodes with all jobs on them"
    if _overlaps(found.runs):
        return "runs at the same time on one node have counted it more than once"
    return "both count whole nodes, with other jobs on them"


def _overlaps(runs: Iterable[PastRun]) -> bool:
    """Return whether runs of one node measured at the same time, beside those within each other."""
    return any(
        sum(end_s - begin_s for begin_s, end_s in of_node) > _union_s(of_node) * (1 + _MEANINGFUL)
        for node, of_node in _spans(run for run in runs if run.counted == 1.0).items()
        if node
    )


def _components(found: JobEnergy) -> str:
    if not found.components_kwh:
        return ""
    names = {"cpu": "processors", "gpu": "GPUs", "ram": "memory"}
    counted = " and ".join(names[one] for one in names if one in found.components_kwh)
    return (
        f"the runs count {counted}, Slurm what its plugin reads: the node with its power supply "
        "(ipmi, xcc, pm_counters), processors without GPUs (rapl), or GPUs only (gpu)"
    )


def _batch_twice(found: JobEnergy) -> str:
    if not found.job.counts_batch_twice:
        return ""
    return "Slurm adds the step batch and the steps within it, without PrologFlags=Contain"


def _attempts(found: JobEnergy) -> str:
    count = found.job.attempts
    return (
        f"the job was started {count:,} times; Slurm's energy is that of all" if count > 1 else ""
    )


def _rounded(found: JobEnergy) -> str:
    return "ConsumedEnergy is rounded: use ConsumedEnergyRaw" if found.job.is_rounded else ""


def _within_interval(found: JobEnergy) -> str:
    ratio = found.ratio
    if ratio is None or ratio.value == 1.0 or not ratio.low <= 1.0 <= ratio.high:
        return ""
    return "the difference is within the 95 % interval of the runs"


def _pue(found: JobEnergy) -> str:
    values = sorted({run.pue for run in found.runs})
    if values == [1.0]:
        return ""
    shown = ", ".join(f"{value:g}" for value in values)
    return f"the results of the runs include PUE ({shown}), this comparison does not"


_REASONS: tuple[Callable[[JobEnergy], str], ...] = (
    _within_interval,
    _nothing_accounted,
    _nothing_measured,
    _not_over,
    _other_nodes,
    _other_time,
    _missing_attempts,
    _scope,
    _components,
    _batch_twice,
    _attempts,
    _rounded,
    _pue,
)


def _reasons(found: JobEnergy) -> Iterator[str]:
    for reason in _REASONS:
        if text := reason(found):
            yield text
