"""Facts of a disclosure that no run has and a user supplies: one table.

They are read from a JSON file and from ``--set key=value``, which has precedence. Nothing here has a
default: a fact that is not given is absent from the disclosure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from carbon_core.errors import ConfigError
from carbon_core.input_files import text_of

_LONGEST = 10_000
# Operations of the largest trainings are 1e26.
_LARGEST = 1e40
_SHOWN = 40


class Fact(NamedTuple):
    """A row of `FACTS`.

    Attributes:
        key: Its name.
        kind: ``text``, or ``number`` of at least 0.
        unit: The unit of a number, or an empty string.
        help: What to supply, as one line.
        formats: Names of the formats that use it.
        choices: The only values that are allowed; empty for any.
    """

    key: str
    kind: Literal["text", "number"]
    unit: str
    help: str
    formats: tuple[str, ...]
    choices: tuple[str, ...] = ()


_NAMED = ("gpai", "cyclonedx", "spdx", "sci", "boamps", "paper")
_EMISSIONS = ("gpai", "cyclonedx", "spdx", "sci", "paper")
_EMBODIED = ("sci", "gpai", "paper")

FACTS: tuple[Fact, ...] = (
    Fact("model_name", "text", "", "Name of the model.", _NAMED),
    Fact("model_version", "text", "", "Version of the model.", ("gpai", "cyclonedx", "spdx")),
    Fact(
        "provider", "text", "", "Legal name of the organisation.",
        ("gpai", "cyclonedx", "spdx", "boamps"),
    ),
    Fact(
        "training_type", "text", "", "Kind of training.",
        ("gpai", "model-card", "cyclonedx", "spdx", "boamps"), ("pre-training", "fine-tuning"),
    ),
    Fact("parameters", "number", "", "Number of parameters of the model.", ("gpai", "sci", "boamps")),
    Fact(
        "flops", "number", "FLOP", "Operations of all training, if the receipts do not have them.",
        ("gpai", "sci"),
    ),
    Fact("flops_method", "text", "", "How these operations were counted or estimated.", ("gpai",)),
    Fact(
        "inference_flops", "number", "FLOP", "Operations of a benchmark of inference.", ("gpai",)
    ),
    Fact(
        "inference_method", "text", "",
        "The benchmark: its task, its hardware, and how operations were counted.", ("gpai",),
    ),
    Fact("energy_method", "text", "", "What to add to the method of the energy.", ("gpai", "cyclonedx")),
    Fact(
        "location", "text", "", "Location of the hardware, in place of that of the runs.",
        ("gpai", "model-card", "boamps", "cyclonedx"),
    ),
    Fact(
        "hardware", "text", "", "Hardware, in place of that of the runs.",
        ("gpai", "model-card", "cyclonedx", "boamps", "paper"),
    ),
    Fact(
        "market_g_per_kwh", "number", "gCO2e/kWh",
        "Market-based factor: that of the supplier, or of what no certificate covers.", _EMISSIONS,
    ),
    Fact("market_source", "text", "", "The supplier or contract of that factor.", _EMISSIONS),
    Fact(
        "certificates_kwh", "number", "kWh",
        "Energy that energy attribute certificates cover.", _EMISSIONS,
    ),
    Fact("certificates_source", "text", "", "The certificates: registry, year, country.", _EMISSIONS),
    Fact("offset_kg", "number", "kg CO2e", "Emissions that were offset.", ("gpai", "cyclonedx")),
    Fact("offset_source", "text", "", "The offset: project and registry.", ("gpai", "cyclonedx")),
    Fact(
        "embodied_kg", "number", "kg CO2e",
        "Embodied emissions of the hardware, the part of these runs.", _EMBODIED,
    ),
    Fact("embodied_low_kg", "number", "kg CO2e", "Low end of their 95 % interval.", _EMBODIED),
    Fact("embodied_high_kg", "number", "kg CO2e", "High end of their 95 % interval.", _EMBODIED),
    Fact("embodied_source", "text", "", "Source of the embodied emissions.", _EMBODIED),
    Fact(
        "embodied_table", "text", "",
        "Use the shipped table for the GPUs, if no embodied emissions are given.",
        _EMBODIED, ("gpu",),
    ),
    Fact(
        "hardware_embodied_kg", "number", "kg CO2e",
        "Embodied emissions of all hardware that was used, of which the runs have a part.",
        _EMBODIED,
    ),
    Fact("hardware_lifespan_years", "number", "years", "Its expected lifespan.", _EMBODIED),
    Fact(
        "hardware_reserved_h", "number", "h",
        "Hours in which it was reserved, if longer than the runs.", _EMBODIED,
    ),
    Fact(
        "hardware_share", "number", "",
        "Share of its resources that was reserved, from 0 to 1; all of them if absent.",
        _EMBODIED,
    ),
    Fact(
        "functional_unit", "text", "", "The unit to report emissions for (R of an SCI score).",
        ("sci",), ("token", "parameter", "flop", "sample", "run", "request", "served-token"),
    ),
    Fact(
        "functional_unit_count", "number", "",
        "How many of these units there are, if the runs do not count them or another number applies.",
        ("sci",),
    ),
    Fact(
        "functional_unit_values", "text", "",
        "Whether that number is the gross one, or the effective one: after deduplication, or of active "
        "parameters.",
        ("sci",), ("gross", "effective"),
    ),
    Fact("functional_unit_rationale", "text", "", "Why this unit was chosen.", ("sci",)),
    Fact(
        "run_kind", "text", "", "What runs of unknown kind are, such as rows of CSV files.",
        ("cyclonedx", "spdx", "boamps"), ("training", "evaluation", "inference"),
    ),
    Fact("cyclonedx_version", "text", "", "Version of the format.", ("cyclonedx",), ("1.6", "1.7")),
    Fact("energy_supplier", "text", "", "Name of the supplier of the electricity.", ("cyclonedx",)),
    Fact(
        "energy_mix", "text", "",
        "Sources of the electricity in percent, such as nuclear=65,wind=10.", ("cyclonedx",),
    ),
    Fact(
        "download_location", "text", "", "Address from which the model can be downloaded.", ("spdx",)
    ),
    Fact("release_time", "text", "", "Date or time of the model's release.", ("spdx",)),
    Fact("task_family", "text", "", "Family of the task, such as textClassification.", ("boamps",)),
    Fact(
        "data_type", "text", "", "Kind of the data, if the runs do not count tokens.", ("boamps",),
        (
            "tabular", "audio", "boolean", "image", "video", "object", "text", "token", "word",
            "other",
        ),
    ),
    Fact(
        "dataset_items", "number", "",
        "Number of items of the dataset, if the runs do not have it in that kind of data.",
        ("boamps",),
    ),
    Fact(
        "infrastructure", "text", "", "Kind of the infrastructure.", ("boamps",),
        ("publicCloud", "privateCloud", "onPremise", "other"),
    ),
    Fact(
        "confidentiality", "text", "", "Confidentiality of the report, to name the provider.",
        ("boamps",), ("public", "internal", "confidential", "secret"),
    ),
)  # fmt: skip


class Facts:
    """Facts that the user has given.

    Args:
        values: The facts by key, each a text or a number.
        origin: Where they are from, for messages.

    Raises:
        ConfigError: A key is unknown, or a value is not what its row allows.
    """

    def __init__(self, values: Mapping[str, object] | None = None, origin: str = "facts") -> None:
        self._values: dict[str, str | float] = {}
        self._origins: dict[str, str] = {}
        self.add(values or {}, origin)

    @classmethod
    def read(cls, path: Path | None = None, settings: Iterable[str] = ()) -> Facts:
        """Return the facts of a JSON file and of arguments, which have precedence.

        Args:
            path: A JSON file with an object; None for none.
            settings: Arguments such as ``model_name=mine``.

        Raises:
            ConfigError: The file or an argument cannot be used.
        """
        facts = cls()
        if path is not None:
            facts.add(_object_of(path), str(path))
        for one in settings:
            key, separator, value = one.partition("=")
            if not separator:
                raise ConfigError(f"--set {one[:_SHOWN]}: must be key=value", origin="--set")
            facts.add({key.strip(): value}, "--set", from_text=True)
        return facts

    def add(self, values: Mapping[str, object], origin: str, *, from_text: bool = False) -> None:
        """Add facts; they replace earlier ones.

        Args:
            values: The facts by key.
            origin: Where they are from.
            from_text: Whether numbers are given as text.

        Raises:
            ConfigError: A key is unknown, or a value is not allowed.
        """
        for key, value in values.items():
            self._values[key] = _checked(_row(key, origin), value, origin, from_text=from_text)
            self._origins[key] = origin

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        """Return a text; an empty one if it was not given."""
        value = self._values.get(key, "")
        return value if isinstance(value, str) else f"{value:g}"

    def number(self, key: str) -> float | None:
        """Return a number; None if it was not given."""
        value = self._values.get(key)
        return value if isinstance(value, float) else None

    def origin(self, key: str) -> str:
        """Return where a fact is from; an empty string if it was not given."""
        return self._origins.get(key, "")


def row_of(key: str) -> Fact | None:
    """Return the row of a key; None for an unknown one."""
    return next((one for one in FACTS if one.key == key), None)


def _row(key: str, origin: str) -> Fact:
    row = row_of(key)
    if row is not None:
        return row
    from difflib import get_close_matches  # for messages about mistakes only

    names = [one.key for one in FACTS]
    near = get_close_matches(key, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    raise ConfigError(f"{origin}: unknown fact {key[:_SHOWN]!r}; {hint}", key=key, origin=origin)


def _checked(row: Fact, value: object, origin: str, *, from_text: bool) -> str | float:
    if row.kind == "number":
        number = _number(value, from_text=from_text)
        if number is not None:
            return number
        allowed = f"a number of at least 0{f' in {row.unit}' if row.unit else ''}"
    elif isinstance(value, str) and value.strip() and len(value) <= _LONGEST:
        text = value.strip()
        if not row.choices or text in row.choices:
            return text
        allowed = f"one of {', '.join(row.choices)}"
    else:
        allowed = f"a text of 1 to {_LONGEST} characters"
    shown = json.dumps(value, default=repr)[:_SHOWN]
    message = f"{origin}: {row.key} must be {allowed}, not {shown}"
    raise ConfigError(message, key=row.key, origin=origin)


def _number(value: object, *, from_text: bool) -> float | None:
    """Return a number of at least 0; None for anything else."""
    if from_text and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and 0.0 <= number <= _LARGEST else None


def _object_of(path: Path) -> Mapping[str, object]:
    try:
        data = json.loads(text_of(path))
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        reason = f"is not valid JSON: {error}"
    else:
        if isinstance(data, dict):
            return data
        reason = "must be a JSON object of facts"
    raise ConfigError(f"{path}: {reason}", origin=str(path))
