"""From settings to the parts of a run."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_core import calibrations
from carbon_core.assemble import outputs
from carbon_core.assemble.grid import (
    learned,
    live_source,
    marginal_source,
    may_learn,
    place_facts,
    place_of,
    source_problems,
)
from carbon_core.assemble.making import messages_for
from carbon_core.assemble.preloading import load_modules
from carbon_core.budget import Budget
from carbon_core.clock import Clock, SystemClock
from carbon_core.code import code_facts
from carbon_core.config import local_trust
from carbon_core.config.output_table import OutputArguments
from carbon_core.config.schema import Settings, default_of
from carbon_core.config.sources import home_directory
from carbon_core.hardware.base import Detection
from carbon_core.hardware.gpu_selection import CUDA_VARIABLES, ROCM_VARIABLES
from carbon_core.intensity.location import Located, Place, locate
from carbon_core.interruptions import suppressed
from carbon_core.job_environment import job_of_scheduler
from carbon_core.messages import ERROR, Messages
from carbon_core.optional_facts import OptionalFact
from carbon_core.outputs.archive import Archive
from carbon_core.outputs.base import Delivered
from carbon_core.rank_environment import (
    RANK_VARIABLES,
    WITHIN,
    Rank,
    is_launched,
    job_of,
    node_of,
    rank_of,
)
from carbon_core.record import replace
from carbon_core.report import RunFacts
from carbon_core.study_environment import STUDY_VARIABLES, study_of
from carbon_core.system_files import LARGE
from carbon_core.tracker.parts import Parts
from carbon_core.trials import StudyFacts
from carbon_core.version import VERSION

if TYPE_CHECKING:
    from carbon_core.hardware.claims import Claims

# Since the detection began, which takes longer.
_CODE_LIMIT_S = 1.0
# Those of the rank, of the devices (`meters.gpu_variables`), and of the files of claims and idle power.
DETECTION_VARIABLES = frozenset(
    [
        *(*RANK_VARIABLES, *STUDY_VARIABLES, *CUDA_VARIABLES, *ROCM_VARIABLES),
        *("TMPDIR", "TEMP", "TMP", "HOME"),
    ]
)


def make_parts(
    settings: Settings,
    run_id: str,
    environ: Mapping[str, str],
    *,
    root: Path = Path("/"),
    clock: Clock | None = None,
    first_phase: str = "run",
    offline: bool = False,
) -> Parts:
    """Return the parts of a run.

    Args:
        settings: The effective settings.
        run_id: UUID of the run.
        environ: Environment variables: the rank, and the visible GPUs.
        root: Directory that holds ``proc`` and ``sys``.
        clock: Source of time; that of this machine when None.
        first_phase: The phase that the run begins with.
        offline: Use the network for nothing.
    """
    clock = clock or SystemClock()
    messages = messages_for(settings)
    place = place_of(settings, environ, root)
    located = locate(place)
    # Made absolute now: the program may change its directory during the run.
    directory = _absolute(settings.output_dir)
    given = OutputArguments(settings, environ, directory, clock, warn=messages.warn)
    for text in [
        *without_effect(settings),
        *setting_problems(settings, environ, located),
        *([] if offline else local_trust.warnings(settings, environ)),
    ]:
        messages.warn(text)
    rank, study = rank_of(environ), _study(settings, environ)
    parts = Parts(
        clock=clock,
        facts=replace(
            _facts(settings, run_id, rank, clock, place),
            within=_within(environ),
            study=study,
            job=job_of_scheduler(
                environ, root, has_node=settings.job_node, has_user=settings.job_user
            ),
            told=() if offline else outputs.resendable(settings, environ),
        ),
        detect=lambda: detect(settings, environ, root, clock, messages),
        assumed=located.intensity,
        heartbeat_s=settings.measure_power_secs,
        make_outputs=functools.partial(outputs.files, given),
        make_deliveries=functools.partial(
            outputs.deliveries,
            given,
            messages,
            _confirming(directory, run_id),
            offline=offline,
        ),
        live=live_source(settings, clock, place),
        marginal=marginal_source(settings, clock, place),
        live_every=max(1, settings.api_call_interval) if settings.api_call_interval >= 0 else None,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        min_duration_s=settings.min_duration_s,
        messages=messages,
        first_phase=first_phase,
        budget=_budget(settings, messages),
        archive=Archive(directory, settings.project_name),
        learn_place=functools.partial(learned, settings, place) if may_learn(settings) else None,
        detection_key=_detection_key(settings, environ),
        load_modules=load_modules,
    )
    if offline:
        parts = replace(parts, live=None, marginal=None, learn_place=None)
    if rank.local is None:
        return replace(parts, only_with_meters=True)
    return parts if rank.measures_node else _second(parts)


def detect(
    settings: Settings, environ: Mapping[str, str], root: Path, clock: Clock, messages: Messages
) -> Detection:
    """Find the meters that the settings select; loads psutil and pynvml."""
    from carbon_core.hardware.discover import DetectionOptions, discover
    from carbon_core.hardware.host import Host
    from carbon_core.hardware.idle import idle_file
    from carbon_core.hardware.meters import gpu_variables

    home, study = home_directory(), _study(settings, environ)
    options = DetectionOptions(
        period_s=settings.measure_power_secs,
        gpu_ids=settings.gpu_ids,
        gpu_environ={name: environ[name] for name in gpu_variables() if name in environ},
        force_cpu_power_w=settings.force_cpu_power,
        force_ram_power_w=settings.force_ram_power,
        force_cpu_load=settings.force_mode_cpu_load,
        only_job=settings.tracking_mode == "process",
        launched=is_launched(environ),
        first=rank_of(environ).measures_node,
        claims=_claims(environ),
        idle_file=idle_file(home) if home else None,
        calibrations=calibrations.parse(settings.calibration) if settings.calibration else {},
        study_id=study.study_id if study and study.divides else None,
    )
    # The revision of the program may be unknown; measuring does not need it.
    code = OptionalFact(lambda: code_facts(Path()), "carbon-code")
    detection = discover(Host(root), clock, options, messages.warn, waits=False)
    host = detection.host
    facts = code.result(_CODE_LIMIT_S, {})
    return replace(detection, host=replace(host, facts={**host.facts, **facts}))


def detect_all(
    settings: Settings, environ: Mapping[str, str], root: Path, messages: Messages
) -> Detection:
    """Find the meters as a run does, and wait for GPUs that would join it later."""
    from carbon_core.hardware.discover import DetectionOptions, with_late_gpus

    detection = detect(settings, environ, root, SystemClock(), messages)
    return with_late_gpus(detection, DetectionOptions().gpu_search_limit_s)


def detected_hardware(
    settings: Settings, environ: Mapping[str, str], root: Path = Path("/")
) -> dict[str, Any]:
    """Return sizes, counts and names of the hardware, under the names that CodeCarbon gives them.

    Searches for the meters once and closes them; claims no device for a rank.
    """
    from carbon_core.hardware.cpu_identity import sockets_of
    from carbon_core.hardware.host import Host
    from carbon_core.hardware.meters import gpu_variables
    from carbon_core.outputs.emissions_data import counted

    visible = {name: environ[name] for name in gpu_variables() if name in environ}
    detection = detect_all(settings, visible, root, messages_for(settings))
    for meter in detection.meters:
        meter.close()
    host = detection.host
    return {
        "ram_total_size": host.ram_total_gb,
        "cpu_count": host.cpu_count,
        "cpu_physical_count": sockets_of(Host(root).text("proc/cpuinfo", LARGE)),
        "cpu_model": host.cpu_model,
        "gpu_count": len(host.gpu_models),
        "gpu_model": counted(host.gpu_models),
        "gpu_ids": settings.gpu_ids,
    }


def _detection_key(settings: Settings, environ: Mapping[str, str]) -> object:
    """Return what a detection depends on: settings, and variables of the launcher and the devices.

    Launchers set some of them after a framework has announced itself.
    """
    read = {name: one for name, one in environ.items() if name in DETECTION_VARIABLES}
    with suppressed(OSError):
        read["PWD"] = str(Path.cwd())  # for the revision of the program
    return settings, read


def _claims(environ: Mapping[str, str]) -> Callable[[], Claims] | None:
    """Return how this rank claims devices; None for a process that is on its own, or where none can."""
    job = job_of(environ)
    if not job or not hasattr(os, "getuid"):
        return None

    def claims() -> Claims:
        import tempfile

        from carbon_core.hardware.claims import Claims

        directory = Path(tempfile.gettempdir()) / f"carbon-callbacks-{os.getuid()}"
        local = rank_of(environ).local
        first = None if local is None else local == 0
        return Claims(directory, job, first=first, node=node_of(environ))

    return claims


def without_effect(settings: Settings) -> list[str]:
    """Return which settings are set and have no effect in this version."""
    unused = [key for key in settings.unused() if getattr(settings, key) != default_of(key)]
    return [f"these settings have no effect in this version: {', '.join(unused)}"] if unused else []


def setting_problems(settings: Settings, environ: Mapping[str, str], located: Located) -> list[str]:
    """Return why settings that are each valid have no effect: an unknown place, a missing token.

    A run warns about these, and `carbon-callbacks config check` lists them.

    Args:
        settings: The effective settings.
        environ: Environment variables.
        located: The location that they result in.
    """
    place = [located.problem] if located.problem else []
    return [*place, *source_problems(settings), *outputs.problems(settings, environ)]


def directory_problems(settings: Settings) -> list[str]:
    """Return which directories of results cannot be written; a run warns when it writes to them.

    Args:
        settings: The effective settings.
    """
    written = {"prometheus_textfile_dir": settings.prometheus_textfile_dir}
    if "csv" in settings.outputs():
        written["output_dir"] = settings.output_dir
    return [
        f"{key}: cannot write in {directory}"
        for key, directory in written.items()
        if directory and not _is_writable(Path(directory), may_create=key == "output_dir")
    ]


def _is_writable(directory: Path, *, may_create: bool) -> bool:
    """Return whether files can be written in a directory, which a run may create."""
    directory = _absolute(os.fspath(directory))
    while may_create and not os.path.lexists(directory) and directory != directory.parent:
        directory = directory.parent
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def _facts(
    settings: Settings,
    run_id: str,
    rank: Rank,
    clock: Clock,
    place: Place,
) -> RunFacts:
    return RunFacts(
        run_id=run_id,
        project_name=settings.project_name,
        started_at=clock.now().isoformat(timespec="milliseconds"),
        package_version=VERSION,
        python_version=platform.python_version(),
        os=f"{platform.system()} {platform.release()}",
        rank=rank.world,
        tracking_mode=settings.tracking_mode,
        experiment_id=settings.experiment_id,
        wue=settings.wue,
        settings={key: str(value) for key, value in settings.shown().items()},
        origins={key: str(origin) for key, origin in settings.origins.items()},
        settings_not_used=tuple(settings.unused()),
        **place_facts(settings, place),
        directory=_directory_name(),
    )


def _within(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the runs of other processes that measure this one."""
    if WITHIN not in environ:
        return ()
    from carbon_core.outputs.enclosing import enclosing_runs

    return enclosing_runs(environ)


def _study(settings: Settings, environ: Mapping[str, str]) -> StudyFacts | None:
    """Return the study that a run belongs to, or None."""
    study_id, trial_id = study_of(environ, settings.study_id, settings.trial_id)
    if study_id is None:
        return None
    return StudyFacts(study_id, trial_id, divides=study_id not in _studies_around(environ))


def _studies_around(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the studies of the runs of other processes that measure this one."""
    if WITHIN not in environ:
        return ()
    from carbon_core.outputs.enclosing import enclosing_studies

    return enclosing_studies(environ)


def _directory_name() -> str:
    """Return the name of the working directory; shown for a project without a name."""
    with suppressed(OSError):  # it may have been removed
        directory = Path.cwd()
        # The name of a home directory is that of a person.
        return "~" if directory == home_directory() else directory.name
    return ""


def _budget(settings: Settings, messages: Messages) -> Budget | None:
    limits = settings.budget_kwh, settings.budget_kg_co2e
    return Budget(*limits, messages.warn) if any(limits) else None


def _absolute(directory: str) -> Path:
    # The working directory itself may have been removed; the first write reports it.
    with suppressed(OSError):
        return Path(directory).absolute()
    return Path(directory)


def _confirming(directory: Path, run_id: str) -> Callable[[Delivered], None]:
    """Return a function that records in the run's journal what an output has accepted."""

    def confirm(delivered: Delivered) -> None:
        from carbon_core.outputs.journal import journal_path, note_delivered

        with contextlib.suppress(OSError):  # the journal's own writer reports what is wrong
            note_delivered(journal_path(directory, run_id), delivered)

    return confirm


def _second(parts: Parts) -> Parts:
    """Return the parts of a rank whose node is measured by another one, but for GPUs of its own."""
    return replace(
        parts,
        only_with_meters=True,
        archive=None,
        messages=Messages(ERROR),
    )
