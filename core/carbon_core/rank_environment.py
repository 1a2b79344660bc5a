"""Detects the rank of this process from the environment variables of its launcher.

A node's hardware must be counted once although every rank runs the same callback: the first rank of
each node measures it.
"""

from __future__ import annotations

from collections.abc import Mapping

from carbon_core.record import record

# torchrun, accelerate and Lightning; Slurm; Open MPI; MPICH and Intel MPI; MVAPICH2.
_LOCAL_RANK = (
    "LOCAL_RANK",
    "SLURM_LOCALID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
)
_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
# Equal on all ranks of a job, and different for another job on the same machine.
_JOB = (
    "TORCHELASTIC_RUN_ID",
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "OMPI_MCA_ess_base_jobid",
    "PMI_JOBID",
)
# Number of the node: torchrun and accelerate; Slurm; Lightning.
_NODE = ("GROUP_RANK", "SLURM_NODEID", "NODE_RANK")
# The runs of `carbon-callbacks run` that measure this process (`outputs.enclosing`).
WITHIN = "CARBON_CALLBACKS_WITHIN"
# All of the launchers'.
_MOST_DIGITS = 9
RANK_VARIABLES = (*_LOCAL_RANK, *_RANK, *_JOB, *_NODE)


@record(frozen=True)
class Rank:
    """The rank of a process.

    Attributes:
        local: Rank within the node; 0 outside any job; None if the launcher does not set it.
        world: Rank within the job; 0 outside any job.
    """

    local: int | None = 0
    world: int = 0

    @property
    def measures_node(self) -> bool:
        """Whether this process measures the node's hardware; True if the local rank is unknown."""
        return not self.local


def rank_of(environ: Mapping[str, str]) -> Rank:
    """Read a process's rank from its environment variables."""
    world = _first_number(environ, _RANK)
    local = _first_number(environ, _LOCAL_RANK)
    return Rank(0 if local is None and world is None else local, world or 0)


def is_launched(environ: Mapping[str, str]) -> bool:
    """Return whether a launcher started this process, so that the job may have other ranks."""
    return any(environ.get(name) for name in (*_LOCAL_RANK, *_RANK))


def job_of(environ: Mapping[str, str]) -> str:
    """Return text that identifies the job on its machine; an empty string outside any job."""
    known = [f"{name}={environ[name]}" for name in _JOB if environ.get(name)]
    return " ".join(known) if is_launched(environ) else ""


def node_of(environ: Mapping[str, str]) -> str:
    """Return the number of this node within the job as text; an empty string if unknown."""
    number = _first_number(environ, _NODE)
    return "" if number is None else str(number)


def _first_number(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = environ.get(name, "").strip()
        if value.isdecimal() and len(value) <= _MOST_DIGITS:  # Python refuses thousands of them
            return int(value)
    return None
