"""The formats of a disclosure: one table.

A format's module is imported where the format is written, so that none costs anything otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from carbon_core.disclosure.activities import INFERENCE, Disclosed
from carbon_core.disclosure.facts import Facts, row_of
from carbon_core.errors import CarbonError, ConfigError

_Documents = Callable[[Disclosed, Facts], Mapping[str, str]]


class Missing(NamedTuple):
    """Something that a format requires and that neither the runs nor the user have supplied.

    Attributes:
        key: Its key in `facts.FACTS`, or in `OF_RUNS`.
        what: What to supply.
        where: How to supply it.
    """

    key: str
    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what} {self.where}"


class MissingFactsError(CarbonError):
    """A format requires what is not known. Nothing was written.

    Attributes:
        missing: All that is missing.
    """

    def __init__(self, name: str, missing: tuple[Missing, ...]) -> None:
        super().__init__(f"{name}: missing: {'; '.join(map(str, missing))}")
        self.missing = missing


class OfRuns(NamedTuple):
    """A fact that runs have.

    Attributes:
        is_known: Whether the runs of a disclosure have it.
        what: What it is.
    """

    is_known: Callable[[Disclosed], bool]
    what: str


def _has_inference(disclosed: Disclosed) -> bool:
    kinds = (one.kind for one in disclosed.activities if one.emissions_kg is not None)
    return any(kind in {"", INFERENCE} for kind in kinds)


# A key that is in FACTS, too, may be given by either.
OF_RUNS: Mapping[str, OfRuns] = {
    "energy": OfRuns(lambda found: found.energy_kwh is not None, "Runs with a known energy."),
    "emissions": OfRuns(lambda found: found.emissions_kg is not None, "Runs with known emissions."),
    # Of all runs but those of inference.
    "training_energy": OfRuns(
        lambda found: found.development.energy_kwh is not None, "Trainings with a known energy."
    ),
    "steps": OfRuns(lambda found: found.work.steps is not None, "Runs that count steps."),
    "samples": OfRuns(lambda found: found.work.samples is not None, "Runs that count samples."),
    "tokens": OfRuns(lambda found: found.work.tokens is not None, "Runs that count tokens."),
    "flops": OfRuns(lambda found: found.work.flops is not None, "Runs that count operations."),
    "training_emissions": OfRuns(
        lambda found: found.development.emissions_kg is not None, "Trainings with known emissions."
    ),
    "inference_emissions": OfRuns(_has_inference, "Runs of inference with known emissions."),
    # Required where no energy is that of such a stage.
    "stage": OfRuns(lambda found: False, "Measured runs of a training or of inference."),
}


def _nothing_more(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    return ()


class Format(NamedTuple):
    """A row of `FORMATS`.

    Attributes:
        name: Its name on the command line.
        title: What it is.
        judge: What decides whether a document of it is valid.
        required: Keys of `facts.FACTS` or `OF_RUNS` without which nothing is written.
        documents: Returns its documents by suffix of their file, such as ``md`` or ``json``; the first
            is the one that is printed.
        required_by: Returns further keys that are required with the facts that were given.
        edited: Returns the bytes of an existing file with the document put into it; None for a format
            whose documents replace a file.
    """

    name: str
    title: str
    judge: str
    required: tuple[str, ...]
    documents: _Documents
    required_by: Callable[[Disclosed, Facts], tuple[str, ...]] = _nothing_more
    edited: Callable[[bytes, Disclosed, Facts], bytes] | None = None


def _gpai(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import gpai

    return gpai.documents(disclosed, facts)


def _model_card(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import model_card

    return model_card.documents(disclosed, facts)


def _edited_card(card: bytes, disclosed: Disclosed, facts: Facts) -> bytes:
    from carbon_core.disclosure import model_card

    return model_card.edited(card, disclosed, facts)


def _required_by_hardware(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    return ("hardware_lifespan_years",) if "hardware_embodied_kg" in facts else ()


def _sci(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import sci_report

    return sci_report.documents(disclosed, facts)


def _required_by_sci(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    from carbon_core.disclosure import sci

    return (*sci.required(disclosed, facts), *_required_by_hardware(disclosed, facts))


def _paper(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import paper

    return paper.documents(disclosed, facts)


def _cyclonedx(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import cyclonedx

    return cyclonedx.documents(disclosed, facts)


def _spdx(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import spdx

    return spdx.documents(disclosed, facts)


def _spdx_required(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    from carbon_core.disclosure import spdx

    return spdx.required(disclosed, facts)


def _boamps(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    from carbon_core.disclosure import boamps

    return boamps.documents(disclosed, facts)


def _boamps_required(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    from carbon_core.disclosure import boamps

    return boamps.required(disclosed, facts)


FORMATS: tuple[Format, ...] = (
    Format(
        "gpai",
        "Energy part of the EU's Model Documentation Form for general-purpose AI models.",
        "a reader, who copies it line by line",
        ("model_name", "training_energy"),
        _gpai,
        _required_by_hardware,
    ),
    Format(
        "model-card",
        "Entry co2_eq_emissions of a Hugging Face model card.",
        "huggingface_hub",
        ("training_energy",),
        _model_card,
        edited=_edited_card,
    ),
    Format(
        "sci",
        "Software Carbon Intensity (ISO/IEC 21031) and SCI for AI: emissions per functional unit.",
        "the worked examples of the specifications",
        ("functional_unit",),
        _sci,
        _required_by_sci,
    ),
    Format(
        "paper",
        "Paragraph and table of a paper in LaTeX, and the citation in BibTeX.",
        "LaTeX",
        ("energy",),
        _paper,
        _required_by_hardware,
    ),
    Format(
        "cyclonedx",
        "CycloneDX bill of materials of a model, 1.6 or 1.7.",
        "the schemas of cyclonedx-python-lib",
        ("model_name", "energy"),
        _cyclonedx,
    ),
    Format(
        "spdx",
        "SPDX 3.0.1 document with the AI profile.",
        "spdx-python-model",
        (
            "model_name",
            "model_version",
            "provider",
            "release_time",
            "download_location",
            "energy",
        ),
        _spdx,
        _spdx_required,
    ),
    Format(
        "boamps",
        "BoAmps 1.1.0 reports, one for each stage and country.",
        "the JSON schemas of BoAmps",
        ("model_name", "task_family", "infrastructure", "energy"),
        _boamps,
        _boamps_required,
    ),
)
# A figure that the user supplies needs its source, in the formats that use it.
_SOURCE_OF = {
    "market_g_per_kwh": "market_source",
    "certificates_kwh": "certificates_source",
    "offset_kg": "offset_source",
    "embodied_kg": "embodied_source",
    "hardware_embodied_kg": "embodied_source",
}


def format_of(name: str) -> Format:
    """Return the row of a format.

    Raises:
        ConfigError: There is none of that name.
    """
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in FORMATS)
        raise ConfigError(f"no format {name[:40]!r}; known are {known}", key="format")
    return found


def missing(row: Format, disclosed: Disclosed, facts: Facts) -> tuple[Missing, ...]:
    """Return all that a format requires and that is not known."""
    sources = (
        source
        for figure, source in _SOURCE_OF.items()
        if figure in facts and _is_used(source, row.name)
    )
    keys = dict.fromkeys((*row.required, *row.required_by(disclosed, facts), *sources))
    return tuple(_missing(key) for key in keys if not _is_known(key, disclosed, facts))


def disclosure_documents(name: str, disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    """Return the documents of the format of a name; as `documents` otherwise.

    Raises:
        ConfigError: There is none of that name.
        MissingFactsError: Something is missing that the format requires.
    """
    return documents(format_of(name), disclosed, facts)


def documents(row: Format, disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    """Return the documents of a format by suffix of their file.

    Args:
        row: The format.
        disclosed: The runs.
        facts: What the user has given.

    Raises:
        MissingFactsError: Something is missing that the format requires.
    """
    lacking = missing(row, disclosed, facts)
    if lacking:
        raise MissingFactsError(row.name, lacking)
    return row.documents(disclosed, facts)


def _is_used(key: str, name: str) -> bool:
    row = row_of(key)
    return row is not None and name in row.formats


def _is_known(key: str, disclosed: Disclosed, facts: Facts) -> bool:
    of_runs = OF_RUNS.get(key)
    return key in facts or (of_runs is not None and of_runs.is_known(disclosed))


def _missing(key: str) -> Missing:
    row, of_runs = row_of(key), OF_RUNS.get(key)
    if row is None:
        return Missing(key, of_runs.what if of_runs else "", "Name other files of runs.")
    unit = f" ({row.unit})" if row.unit else ""
    where = f"Supply it with --set {key}=VALUE or in the file of --facts{unit}."
    if row.choices:
        where = f"Supply it with --set {key}={'|'.join(row.choices)} or in the file of --facts."
    return Missing(key, row.help, where)
