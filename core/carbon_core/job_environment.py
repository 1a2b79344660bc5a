"""Detects the job of a batch system from the environment variables that it sets.

Only the variables listed here are read, and the file with the namespace of a Kubernetes pod. Their
values are text of others.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from carbon_core.escaping import one_line
from carbon_core.record import record
from carbon_core.system_files import text_in

_LONGEST = 200
_NAMESPACE = Path("var/run/secrets/kubernetes.io/serviceaccount/namespace")
# An element's index in LSF is 0, and in Grid Engine `undefined`, where the job is no array. Slurm has
# numbers for the steps that `sacct` names.
_MEANINGS = {
    ("LSB_JOBINDEX", "0"): "",
    ("SGE_TASK_ID", "undefined"): "",
    ("SLURM_STEP_ID", "4294967290"): "interactive",
    ("SLURM_STEP_ID", "4294967291"): "batch",
    ("SLURM_STEP_ID", "4294967292"): "extern",
}


@record(frozen=True)
class JobFacts:
    """The job of a batch system that a run belongs to.

    Texts are empty where they are unknown.

    Attributes:
        scheduler: ``slurm``, ``pbs``, ``lsf``, ``sge`` or ``kubernetes``.
        job_id: Id of the job. Each element of a Slurm array has one of its own, as in the column
            ``JobIDRaw`` of `sacct`. In Kubernetes the name of the Job, else of the pod.
        array_id: Id that all elements of an array share, where it is not `job_id` (LSF, Grid Engine).
        array_index: Index of the element within its array, or of the pod of an indexed Job.
        step: Step of a Slurm job, or the pod of a Kubernetes Job.
        node: Name of the node.
        cluster: Name of the cluster.
        namespace: Namespace of the pod.
        user: User of the job, recorded only if a setting enables it.
    """

    scheduler: str
    job_id: str = ""
    array_id: str = ""
    array_index: str = ""
    step: str = ""
    node: str = ""
    cluster: str = ""
    namespace: str = ""
    user: str = ""


class _Scheduler(NamedTuple):
    """Variables of a batch system; of several for one fact, the first that is set applies.

    Attributes:
        name: As in `JobFacts.scheduler`.
        signs: A process belongs to a job where all of them are set.
    """

    name: str
    signs: tuple[str, ...]
    job_id: tuple[str, ...]
    array_id: tuple[str, ...] = ()
    array_index: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    user: tuple[str, ...] = ()


# A pod gets names from the downward API under variables that its manifest names: these are usual.
# Pods come last: a batch system may run in them.
_SCHEDULERS = (
    _Scheduler(
        "slurm",
        ("SLURM_JOB_ID",),
        ("SLURM_JOB_ID",),
        array_id=("SLURM_ARRAY_JOB_ID",),
        array_index=("SLURM_ARRAY_TASK_ID",),
        step=("SLURM_STEP_ID",),
        node=("SLURMD_NODENAME",),
        cluster=("SLURM_CLUSTER_NAME",),
        user=("SLURM_JOB_USER",),
    ),
    _Scheduler(
        "pbs",
        ("PBS_JOBID",),
        ("PBS_JOBID",),
        array_id=("PBS_ARRAY_ID",),
        array_index=("PBS_ARRAY_INDEX", "PBS_ARRAYID"),
        user=("PBS_O_LOGNAME",),
    ),
    _Scheduler(
        "lsf",
        ("LSB_JOBID",),
        ("LSB_JOBID",),
        array_index=("LSB_JOBINDEX",),
        user=("LSFUSER",),
    ),
    _Scheduler(
        "sge",
        ("SGE_ROOT", "JOB_ID"),
        ("JOB_ID",),
        array_index=("SGE_TASK_ID",),
        cluster=("SGE_CLUSTER_NAME",),
        user=("SGE_O_LOGNAME",),
    ),
    _Scheduler(
        "kubernetes",
        ("KUBERNETES_SERVICE_HOST",),
        ("JOB_NAME", "K8S_JOB_NAME", "POD_NAME", "MY_POD_NAME", "K8S_POD_NAME"),
        array_index=("JOB_COMPLETION_INDEX",),
        step=("POD_NAME", "MY_POD_NAME", "K8S_POD_NAME"),
        node=("NODE_NAME", "MY_NODE_NAME", "K8S_NODE_NAME"),
        cluster=("CLUSTER_NAME", "K8S_CLUSTER_NAME"),
        namespace=("POD_NAMESPACE", "MY_POD_NAMESPACE", "K8S_NAMESPACE"),
    ),
)


def job_of_scheduler(
    environ: Mapping[str, str],
    root: Path = Path("/"),
    *,
    has_node: bool = True,
    has_user: bool = False,
    host_name: Callable[[], str] = platform.node,
) -> JobFacts | None:
    """Return the job of a batch system that a process belongs to, or None.

    Args:
        environ: Environment variables.
        root: Directory that holds ``var/run``.
        has_node: Whether to read the node's name.
        has_user: Whether to read the user's name.
        host_name: Returns the name of this machine, for batch systems without a variable for it.
    """
    one = next(
        (one for one in _SCHEDULERS if all(_value(environ, (name,)) for name in one.signs)), None
    )
    if one is None:
        return None
    in_pod = one.name == "kubernetes"
    node = ""
    if has_node:
        # The host name of a pod is that of the pod.
        node = _value(environ, one.node) or ("" if in_pod else _clean(host_name()))
    return JobFacts(
        one.name,
        _value(environ, one.job_id),
        _value(environ, one.array_id),
        _value(environ, one.array_index),
        _value(environ, one.step),
        node,
        _value(environ, one.cluster),
        _value(environ, one.namespace) or (_clean(text_in(root / _NAMESPACE)) if in_pod else ""),
        _value(environ, one.user) if has_user else "",
    )


def _value(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first value that is set; empty where there is none."""
    for name in names:
        value = _clean(environ.get(name, ""))
        if value := _MEANINGS.get((name, value), value):
            return value
    return ""


def _clean(text: str) -> str:
    return one_line(text.strip(), _LONGEST).strip()
