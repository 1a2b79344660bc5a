"""The runs that are active in this process; their energy includes that of runs that begin meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from carbon_core.run_facts import RunFacts


class _Active(NamedTuple):
    """An active run.

    Attributes:
        pid: The process that measures it.
        study_id: The study whose processes divide the machine, or None.
        leave: Ends its part in that.
    """

    pid: int
    study_id: str | None = None
    leave: Callable[[int], object] = bool


# By id, in the order of their starts. A forked child has those of its parent, which measure it, too.
_active: dict[str, _Active] = {}


def begin(facts: RunFacts, t_ns: int) -> None:
    """Add a run; one of a study takes part in dividing the machine from then on.

    Args:
        facts: Facts of the run.
        t_ns: Monotonic time of its begin.
    """
    study = facts.study
    if study is None or not study.divides:
        _active[facts.run_id] = _Active(os.getpid())
        return
    from carbon_core.hardware.study_shares import membership_of

    process = membership_of(study.study_id)
    leave = process.remove_study if study.has_trials else process.remove_run
    _active[facts.run_id] = _Active(os.getpid(), study.study_id, leave)
    (process.add_study if study.has_trials else process.add_run)(t_ns)


def end(run_id: str, t_ns: int) -> None:
    """Remove a run.

    Args:
        run_id: Its id.
        t_ns: Monotonic time of its end.
    """
    ended = _active.pop(run_id, None)
    if ended is not None:
        ended.leave(t_ns)


def active(*, without: str = "", study_id: str | None = None) -> tuple[str, ...]:
    """Return the ids of the active runs, the latest first.

    Args:
        without: A run that is left out.
        study_id: The study of the run that begins: other processes of it count their own shares.
    """
    pid = os.getpid()
    return tuple(
        run_id
        for run_id, one in reversed(list(_active.items()))
        if run_id != without and (one.pid == pid or study_id is None or one.study_id != study_id)
    )
