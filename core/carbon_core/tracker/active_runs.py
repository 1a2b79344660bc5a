"""The runs that are active in this process; their energy includes that of runs that begin meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from carbon_core.run_facts import RunFacts

# By id, in the order of their starts, each with what ends its part in a study. A forked child has those
# of its parent, which measure it, too.
_active: dict[str, Callable[[int], object] | None] = {}


def begin(facts: RunFacts, t_ns: int) -> None:
    """Add a run; one of a study takes part in dividing the machine from then on.

    Args:
        facts: Facts of the run.
        t_ns: Monotonic time of its begin.
    """
    leave = None
    if facts.study is not None and facts.study.divides:
        from carbon_core.hardware.study_shares import membership_of

        process = membership_of(facts.study.study_id)
        several = facts.study.has_trials
        leave = process.remove_study if several else process.remove_run
        (process.add_study if several else process.add_run)(t_ns)
    _active[facts.run_id] = leave


def end(run_id: str, t_ns: int) -> None:
    """Remove a run.

    Args:
        run_id: Its id.
        t_ns: Monotonic time of its end.
    """
    leave = _active.pop(run_id, None)
    if leave is not None:
        leave(t_ns)


def active(*, without: str = "") -> tuple[str, ...]:
    """Return the ids of the active runs, the latest first.

    Args:
        without: A run that is left out.
    """
    return tuple(run_id for run_id in reversed(list(_active)) if run_id != without)
