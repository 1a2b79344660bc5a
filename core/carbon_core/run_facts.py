"""Parts of a run's results: the facts known at its start, its phases, and how sure its totals are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from carbon_core.job_environment import JobFacts
from carbon_core.limits import (
    LARGEST,
    MOST_OPERATIONS,
    Amount,
    Count,
    Factor,
    NotNegative,
    Operations,
    RunId,
    Seconds,
    SigmaLn,
    Time,
)
from carbon_core.plausible import number
from carbon_core.record import field, record
from carbon_core.records import Estimate
from carbon_core.trials import StudyFacts

# CodeCarbon's default, which its files keep.
DEFAULT_PROJECT = "codecarbon"

NOT_METERED = (
    "power supply losses, fans, mainboard, disks and network are not metered; "
    "neither is cooling, unless pue is set"
)


@record(frozen=True)
class RunFacts:
    """Facts of a run that are available when it starts.

    Attributes:
        run_id: A UUID; a restart of the tracker begins another run.
        project_name: The setting.
        started_at: ISO time in UTC.
        package_version: Version of this package.
        python_version: Version of Python.
        os: Name of the operating system.
        rank: Rank within the job.
        country_name: Name of the country, also where it is a guess; an empty string if unknown. The
            place of the intensity, which may be a part of it, is that of the `Intensity`.
        country_iso_code: Its three-letter code, or an empty string.
        region: State or province as CodeCarbon writes it, or an empty string.
        cloud_provider: Cloud provider such as ``aws``, or an empty string.
        cloud_region: Its region such as ``eu-west-3``, or an empty string.
        tracking_mode: The setting.
        experiment_id: The setting, or None.
        pue: Power usage effectiveness.
        wue: Water usage effectiveness in litres per kWh of the hardware.
        settings: All settings, secrets hidden.
        origins: Where the settings came from that are not defaults.
        settings_not_used: Settings that were given and have no effect yet.
        told: Services that receive its results, in parts or at its end.
        phases_synced: Whether the accelerator's queue was synchronised where a phase ended; None where
            that is unknown.
        trial: The trial of a search that the run belongs to, or None.
        directory: Name of the working directory at the start, without its path; ``~`` for the home
            directory; an empty string if unknown.
        within: Ids of the runs whose energy includes that of this one, the innermost first: those of
            `carbon-callbacks run` that started its process, and those of the same process.
        study: The study that the run belongs to, or None.
        job: The job of a batch system that the run belongs to, or None.
        model_class: Class of the model that a callback measures, such as ``digits.net.Net``; an empty
            string if unknown.
    """

    run_id: RunId
    project_name: str
    started_at: Time
    package_version: str
    python_version: str
    os: str
    rank: Count = 0
    country_name: str = ""
    country_iso_code: str = ""
    region: str = ""
    cloud_provider: str = ""
    cloud_region: str = ""
    tracking_mode: str = "machine"
    experiment_id: str | None = None
    pue: Factor = 1.0
    wue: NotNegative = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    settings_not_used: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    phases_synced: bool | None = None
    trial: str | None = None
    directory: str = ""
    within: tuple[RunId, ...] = ()
    study: StudyFacts | None = None
    job: JobFacts | None = None
    model_class: str = ""

    @property
    def project_label(self) -> str:
        """The project for display: see the function `project_label`."""
        return project_label(
            self.project_name, self.directory, is_set="project_name" in self.origins
        )

    @property
    def year(self) -> int | None:
        """Year in which the run began, in UTC; None if unknown."""
        return int(self.started_at[:4]) if self.started_at[:4].isdecimal() else None


def project_label(project_name: str, directory: str = "", *, is_set: bool = False) -> str:
    """Return the name of a project for display.

    Without a setting, all runs have CodeCarbon's default name in the files, which does not distinguish
    them: the working directory's name is shown instead, such as ``digits (default)``.

    Args:
        project_name: The name in the files.
        directory: Name of the directory that the run belongs to; an empty string if unknown.
        is_set: Whether the user chose the name, even if it equals the default.
    """
    if is_set or project_name != DEFAULT_PROJECT:
        return project_name
    return f"{directory} (default)" if directory else "default project"


@record(frozen=True)
class Phase:
    """A phase's part of a run: seconds, joules and how often it was entered.

    Attributes:
        sigma_ln: One standard deviation of ln(reported / true) of the joules; None in files of older
            versions.
    """

    name: str
    duration_s: Seconds
    joules: Amount
    count: Count
    sigma_ln: SigmaLn | None = None


class Work(NamedTuple):
    """Amount of work of a training in a run; None where it is not counted.

    Attributes:
        steps: Batches of training, with Hugging Face optimizer steps; of one rank.
        samples: Training samples, of all ranks.
        tokens: Tokens, of all ranks.
        flops: Floating-point operations, of all ranks.
    """

    steps: NotNegative | None = None
    samples: NotNegative | None = None
    tokens: NotNegative | None = None
    flops: Operations | None = None

    @classmethod
    def plausible(cls, *amounts: float | None) -> Work:
        """Return amounts that a program has given; one that cannot be is unknown, as none was given.

        Args:
            amounts: The attributes, in their order.
        """
        most = (LARGEST, LARGEST, LARGEST, MOST_OPERATIONS)
        known = (None if number(one, 0.0, top) is None else one for one, top in zip(amounts, most))
        return cls(*known)


@record(frozen=True)
class Provenance:
    """How sure a run's totals are, and what they leave out.

    Attributes:
        energy_kwh: Energy with its 95 % interval, times PUE.
        emissions_kg: Emissions in kg CO2e with their 95 % interval.
        share_by_grade: Share of the joules (0 to 1) by grade, best grade first.
        is_estimate: Whether more than a fifth of the joules come from models.
        missing_s: Longest time, over all devices, that was extrapolated instead of measured.
        is_known: Whether any device gave a reading; if not, energy and emissions are unknown, and their
            0 here means nothing.
        shared: Notes on devices that others use, too, or that are counted as a whole; the low ends of
            the intervals exclude what may be others'.
        not_metered: Hardware that no figure includes, as text.
    """

    energy_kwh: Estimate
    emissions_kg: Estimate
    share_by_grade: Mapping[str, float]
    is_estimate: bool
    missing_s: float
    shared: tuple[str, ...] = ()
    not_metered: str = NOT_METERED
    is_known: bool = True
