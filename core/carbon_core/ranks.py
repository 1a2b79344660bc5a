"""Which process of a job this is, from what its launcher left in the environment.

A node's hardware must be counted once although every rank runs the same callback. The rank that is
first on its node measures; the others stand by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# torchrun, accelerate and Lightning; Slurm; Open MPI; MPICH and Intel MPI; MVAPICH2.
_LOCAL_RANK = (
    "LOCAL_RANK",
    "SLURM_LOCALID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
)
_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")


@dataclass(frozen=True)
class Rank:
    """A process's place in its job.

    Attributes:
        local: Rank within the node; 0 outside any job.
        world: Rank within the job; 0 outside any job.
    """

    local: int = 0
    world: int = 0

    @property
    def measures_node(self) -> bool:
        """Whether this process is the one that counts the node's hardware."""
        return self.local == 0


def rank_of(environ: Mapping[str, str]) -> Rank:
    """Read a process's rank from its environment variables."""
    return Rank(_first_number(environ, _LOCAL_RANK), _first_number(environ, _RANK))


def is_launched(environ: Mapping[str, str]) -> bool:
    """Tell whether a launcher started this process, perhaps with others of the job beside it."""
    return any(environ.get(name) for name in (*_LOCAL_RANK, *_RANK))


def _first_number(environ: Mapping[str, str], names: tuple[str, ...]) -> int:
    for name in names:
        value = environ.get(name, "").strip()
        if value.isdecimal():
            return int(value)
    return 0
