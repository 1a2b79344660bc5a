"""Reads the jobs of `sacct --parsable2`: a header, then a row for each job and each of its steps.

Slurm's rule for the energy of a job is followed: that of the step ``extern`` where the cluster has one
(``PrologFlags=Contain``), else the sum of all steps. 0 means that nothing was read, as for a cluster
without ``AcctGatherEnergyType``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.limits import LARGEST
from carbon_core.record import record, replace

# What the columns of a command must be; it prints the header unless `--noheader` is given.
FORMAT = "JobID,JobIDRaw,Cluster,State,ElapsedRaw,NNodes,AllocCPUS,ConsumedEnergyRaw"
COMMAND = f"sacct --parsable2 --format={FORMAT}"
_SEPARATOR = "|"
_EXTERN, _BATCH = "extern", "batch"
# "No value" and "infinite" of Slurm, with 32 bits and with 64, as whole numbers and with decimals.
_NO_VALUES = frozenset(map(float, (2**32 - 2, 2**32 - 1, 2**64 - 2, 2**64 - 1)))
_PREFIXES: Mapping[str, float] = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_NUMBER = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)([KMGTP]?)", re.ASCII)
_ELAPSED = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2})(?:\.\d+)?", re.ASCII)
# Of an array `123_4` or `123_[5-9%2]`, of a heterogeneous job `123+0`, else `123`.
_ID = re.compile(r"(\d{1,20})(?:_(\d+|\[[^\]]*\]))?(?:\+(\d+))?", re.ASCII)
_LONGEST_CELL = 100
# Problems that are listed; the others are counted.
MOST_PROBLEMS = 20


@record(frozen=True)
class AccountedJob:
    """A job as Slurm accounts for it; a heterogeneous job with all its components.

    Attributes:
        job_id: Id as `sacct` shows it: ``123``, ``123_4`` for an element of an array.
        raw_ids: Ids of the column ``JobIDRaw``, which are those of ``SLURM_JOB_ID``.
        cluster: Name of the cluster; empty where it is unknown.
        state: Such as ``COMPLETED``.
        elapsed_s: Duration in seconds; None where it is unknown.
        nodes: Number of nodes; None where it is unknown.
        cpus: Number of allocated CPUs; None where it is unknown.
        energy_j: Energy in joules; None where Slurm has none.
        steps_j: Sum of the energy of the steps without ``extern``; None without any.
        batch_j: Energy of the step ``batch``, which lasts as long as the script; None without it.
        is_rounded: Whether the energy has three or four digits only (``ConsumedEnergy``).
        attempts: How often it was started: more than once where it was requeued.
    """

    job_id: str
    raw_ids: tuple[str, ...] = ()
    cluster: str = ""
    state: str = ""
    elapsed_s: float | None = None
    nodes: int | None = None
    cpus: int | None = None
    energy_j: float | None = None
    steps_j: float | None = None
    batch_j: float | None = None
    is_rounded: bool = False
    attempts: int = 1

    @property
    def array(self) -> tuple[str, str]:
        """Id of the array and index within it; empty texts for another job."""
        found = _ID.fullmatch(self.job_id)
        return (found[1], found[2]) if found and found[2] else ("", "")

    @property
    def counts_batch_twice(self) -> bool:
        """Whether Slurm adds the energy of the script and of the steps that it started."""
        has_more = self.batch_j is not None and self.batch_j != self.steps_j
        return has_more and self.energy_j == self.steps_j


class Accounting(NamedTuple):
    """The jobs of a text.

    Attributes:
        jobs: The jobs, in the order of the text.
        problems: Rows that were skipped, one sentence each; at most `MOST_PROBLEMS` and a count.
    """

    jobs: tuple[AccountedJob, ...]
    problems: tuple[str, ...]


class _Row(NamedTuple):
    base: str
    raw: str
    step: str
    cells: Mapping[str, str]


def lines_of(data: bytes) -> list[str]:
    """Return the lines of what `sacct` has written; a name may have other separators of Unicode."""
    return data.decode("utf-8-sig", "replace").split("\n")


def read(lines: Iterable[str]) -> Accounting:
    """Read the output of `sacct --parsable2`.

    Args:
        lines: Its lines.

    Raises:
        OutputError: It has no header, or lacks a column that is needed.
    """
    texts = filter(str.strip, lines)
    header = next(texts, "")
    columns = _columns(header)
    problems: list[str] = []
    attempts: dict[tuple[str, str], list[list[_Row]]] = {}
    seen = {header}
    for number, line in enumerate(texts, 2):
        if line in seen:  # of several files
            continue
        seen.add(line)
        found = _row(columns, line)
        if isinstance(found, str):
            problems.append(f"row {number}: {found}")
            continue
        rows = attempts.setdefault((found.cells.get("cluster", ""), found.base), [])
        if not rows or not found.step:
            rows.append([])
        rows[-1].append(found)
    jobs = [_with_attempts([_job(rows) for rows in one]) for one in attempts.values()]
    if more := problems[MOST_PROBLEMS:]:
        problems[MOST_PROBLEMS:] = [f"{len(more):,} more rows skipped"]
    return Accounting(tuple(_with_components(jobs)), tuple(problems))


def _columns(header: str) -> list[str]:
    names = [name.strip().lower() for name in _cells(header)]
    if not {"jobid", "jobidraw"} & set(names):
        raise OutputError(f"no header with the column JobID: it needs the output of {COMMAND}")
    if not {"consumedenergy", "consumedenergyraw"} & set(names):
        raise OutputError(f"no column ConsumedEnergyRaw: it needs the output of {COMMAND}")
    return names


def _cells(line: str) -> list[str]:
    # `--parsable` ends each line with a separator.
    return line.strip("\r\n").removesuffix(_SEPARATOR).split(_SEPARATOR)


def _row(columns: list[str], line: str) -> _Row | str:
    """Return a row, or why it cannot be used."""
    texts = _cells(line)
    if len(texts) == len(columns) - 1:  # the last cell is empty
        texts.append("")
    more = len(texts) - len(columns)
    if more > 0 and "jobname" in columns:  # a name may contain the separator
        at = columns.index("jobname")
        texts[at : at + more + 1] = [_SEPARATOR.join(texts[at : at + more + 1])]
    if len(texts) != len(columns):
        return f"{len(texts)} cells instead of {len(columns)}"
    cells = {name: one_line(text.strip(), _LONGEST_CELL) for name, text in zip(columns, texts)}
    base, _, step = (cells.get("jobid") or cells.get("jobidraw", "")).partition(".")
    if not _ID.fullmatch(base):
        return f"{base!a} is not the id of a job"
    raw = cells.get("jobidraw", "").partition(".")[0]
    return _Row(base, raw, step, cells)


def _job(rows: list[_Row]) -> AccountedJob:
    """Return one attempt of a job: its row, and those of its steps."""
    first = next((row for row in rows if not row.step), rows[0])
    raws = {row.raw for row in rows if row.raw}
    is_plain = first.base.isdecimal()
    steps = {row.step: _joules(row.cells) for row in rows if row.step}
    known = {step: joules for step, joules in steps.items() if joules}
    own = _joules(first.cells) if not first.step else None
    others = [joules for step, joules in known.items() if step != _EXTERN]
    return AccountedJob(
        first.base,
        tuple(sorted(raws)) or ((first.base,) if is_plain else ()),
        first.cells.get("cluster", ""),
        first.cells.get("state", ""),
        _seconds(first.cells),
        _whole(first.cells.get("nnodes", "")),
        _whole(first.cells.get("alloccpus", first.cells.get("ncpus", ""))),
        own or known.get(_EXTERN) or _of_steps(known),
        sum(others) if others else None,
        known.get(_BATCH),
        is_rounded="consumedenergyraw" not in first.cells,
    )


def _of_steps(known: Mapping[str, float]) -> float | None:
    """Return the energy of a job of which only steps are known.

    The script's step lasts as long as those that it starts: their energy is in both.
    """
    started = sum(joules for step, joules in known.items() if step != _BATCH)
    return max(known.get(_BATCH, 0.0), started) or None


def _with_attempts(attempts: list[AccountedJob]) -> AccountedJob:
    """Return a job with the totals of all its attempts, and the state of the last one."""
    last = attempts[-1]
    return replace(_sum(attempts), state=last.state, nodes=last.nodes, attempts=len(attempts))


def _with_components(jobs: Iterable[AccountedJob]) -> Iterator[AccountedJob]:
    """Yield the jobs; the components of a heterogeneous one as one job."""
    groups: dict[tuple[str, str], list[AccountedJob]] = {}
    for job in jobs:
        groups.setdefault((job.cluster, job.job_id.partition("+")[0]), []).append(job)
    for (_, job_id), parts in groups.items():
        if len(parts) == 1 and "+" not in parts[0].job_id:
            yield parts[0]
            continue
        elapsed_s = [one.elapsed_s for one in parts if one.elapsed_s is not None]
        states = dict.fromkeys(one.state for one in parts if one.state)
        yield replace(
            _sum(parts),
            job_id=job_id,
            raw_ids=tuple(sorted({job_id, *(raw for one in parts for raw in one.raw_ids)})),
            state=", ".join(states),
            elapsed_s=max(elapsed_s, default=None),
            attempts=max(one.attempts for one in parts),
        )


def _sum(parts: list[AccountedJob]) -> AccountedJob:
    """Return the first of some records with the sums of their figures; None where none is known."""
    names = ("elapsed_s", "nodes", "cpus", "energy_j", "steps_j", "batch_j")
    sums: dict[str, Any] = {}
    for name in names:
        known = [value for one in parts if (value := getattr(one, name)) is not None]
        sums[name] = sum(known) if known else None
    return replace(parts[0], **sums)


def _joules(cells: Mapping[str, str]) -> float | None:
    """Return the energy of a row; None for 0 and for "no value"."""
    found = _number(cells.get("consumedenergyraw", cells.get("consumedenergy", "")))
    return found or None


def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    value = float(match[1]) * _PREFIXES[match[2]]
    is_none = not match[2] and value in _NO_VALUES
    return None if is_none or value > LARGEST else value


def _whole(text: str) -> int | None:
    found = _number(text)
    return None if found is None else int(found)


def _seconds(cells: Mapping[str, str]) -> float | None:
    if (raw := _number(cells.get("elapsedraw", ""))) is not None:
        return raw
    match = _ELAPSED.fullmatch(cells.get("elapsed", ""))
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
