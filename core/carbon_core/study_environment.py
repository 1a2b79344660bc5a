"""Detects the study that a process belongs to from the environment variables of its launcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from carbon_core.escaping import one_line

_LONGEST = 200


class _Launcher(NamedTuple):
    """Variables that a launcher of studies sets.

    Attributes:
        study: Has the id of the study.
        trial: Has the id of the trial within it.
        prefix: Put before the id of the study, which is a number.
    """

    study: str
    trial: str
    prefix: str = ""


_LAUNCHERS = (
    _Launcher("WANDB_SWEEP_ID", "WANDB_RUN_ID"),
    _Launcher("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "slurm-"),
)
STUDY_VARIABLES = tuple(name for one in _LAUNCHERS for name in (one.study, one.trial))


class StudyIds(NamedTuple):
    """Ids of a study and of the trial that a process is; None where unknown."""

    study_id: str | None
    trial_id: str | None


def study_of(
    environ: Mapping[str, str], study_id: str | None = None, trial_id: str | None = None
) -> StudyIds:
    """Return the ids of the study and of the trial that this process is.

    Args:
        environ: Environment variables.
        study_id: The setting, which has precedence.
        trial_id: The setting; without effect where the study is unknown.
    """
    launcher = next((one for one in _LAUNCHERS if _value(environ, one.study)), None)
    if launcher is None:
        return StudyIds(study_id, trial_id if study_id else None)
    found = study_id or launcher.prefix + _value(environ, launcher.study)
    return StudyIds(found, trial_id or _value(environ, launcher.trial) or None)


def _value(environ: Mapping[str, str], name: str) -> str:
    """Return a variable as one line of text; it may have bytes that are not UTF-8."""
    return one_line(environ.get(name, "").strip(), _LONGEST).strip()
