"""The runs that are active in this process; their energy includes that of runs that begin meanwhile."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, NamedTuple

from carbon_core.record import replace

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


def enter(facts: RunFacts) -> RunFacts:
    """Add a run that is about to begin; return its facts, within the runs that were there before.

    Of two runs that two threads start at the same instant, exactly one is within the other.

    Args:
        facts: Facts of the run, within the runs that measure this process.
    """
    study_id = facts.study.study_id if facts.study else None
    _active[facts.run_id] = _Active(os.getpid())
    return replace(facts, within=(*active(before=facts.run_id, study_id=study_id), *facts.within))


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


def active(*, before: str = "", study_id: str | None = None) -> tuple[str, ...]:
    """Return the ids of the active runs, the latest first.

    Args:
        before: A run: only those that entered before it.
        study_id: The study of the run that begins: other processes of it count their own shares.
    """
    pid = os.getpid()
    earlier = itertools.takewhile(lambda item: item[0] != before, list(_active.items()))
    found = [
        run_id
        for run_id, one in earlier
        if one.pid == pid or study_id is None or one.study_id != study_id
    ]
    return tuple(reversed(found))
