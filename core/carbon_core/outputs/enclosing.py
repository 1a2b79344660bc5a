"""The runs that this process is within: those of `carbon-callbacks run`, which measure what it starts.

`run` sets a variable for its command, and processes inherit it. Programs may also hand it on to where it
is wrong: a batch system to a job on another host, a server to jobs after the end of the run. It is
therefore valid only while the measuring process lives, and only for processes that it measures: those
of its batch job or container, or else those that descend from it, or all of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from carbon_core.decoding import DecodingError, parsed
from carbon_core.hardware.cgroup import own_cgroup
from carbon_core.hardware.host import Host
from carbon_core.limits import is_safe_id
from carbon_core.outputs.owner import descends_from, state_of, this_process
from carbon_core.rank_environment import WITHIN

_LONGEST = 4096
_MOST_RUNS = 20


def variable_for(
    run_id: str, environ: Mapping[str, str], *, whole_machine: bool, study_id: str | None = None
) -> dict[str, str]:
    """Return the variable for the processes that this one measures.

    Args:
        run_id: The run that measures them.
        environ: Environment of this process, which may be within other runs.
        whole_machine: Whether the run measures all processes of the machine.
        study_id: The study that the run belongs to, or None.
    """
    runs = [run_id, *enclosing_runs(environ)][:_MOST_RUNS]
    studies = [*([study_id] if study_id else []), *enclosing_studies(environ)][:_MOST_RUNS]
    facts = {"whole_machine": whole_machine, "group": _own_group(), "runs": runs}
    return {WITHIN: json.dumps({**this_process()._asdict(), **facts, "studies": studies})}


def enclosing_runs(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the runs that measure this process, the innermost first."""
    return tuple(one for one in _texts(environ, "runs") if is_safe_id(one))


def enclosing_studies(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the studies that these runs belong to."""
    return _texts(environ, "studies")


def _texts(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return a list of the variable; nothing where it is not valid here."""
    text = environ.get(WITHIN, "")
    if not text or len(text) > _LONGEST:
        return ()
    try:
        found = parsed(text.encode("utf-8", "replace"))
    except DecodingError:
        return ()
    texts = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(texts, list) or not _measures_this_process(found):
        return ()
    return tuple(one for one in texts[:_MOST_RUNS] if isinstance(one, str))


def _measures_this_process(owner: Mapping[str, object]) -> bool:
    state, pid = state_of(owner), owner.get("pid")
    if not isinstance(pid, int) or state not in ("alive", "unknown"):
        return False
    if state == "alive" and owner.get("whole_machine") is True:
        return True
    group = owner.get("group")
    # A task that Slurm starts does not descend from the command that requested it.
    return group == _own_group() if group else descends_from(pid)


def _own_group() -> str:
    """Return the control group that a run in this process measures; an empty string without one."""
    group = own_cgroup(Host())
    return group.cpu_file if group else ""
