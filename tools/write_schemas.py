"""Generates the JSON schemas of receipt and journal from their common parts.

With ``--check``, changes nothing; exit status 1 means that a file would change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from generated import write_or_check

from carbon_core.report import STATUSES
from carbon_core.run_facts import Work
from carbon_core.trials import DIRECTIONS, RUNNING
from carbon_core.trials import STATUSES as TRIAL_STATUSES

DATA = Path(__file__).parent.parent / "core" / "carbon_core" / "data"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
NOT_NEGATIVE: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
COMPONENT: Schema = {"enum": ["cpu", "gpu", "ram"]}
GRADE: Schema = {"enum": ["A", "B", "C", "D", "E"]}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object with exactly these properties, all required."""
    closed = {"type": "object", "additionalProperties": False}
    return {**closed, "required": list(properties), "properties": properties}


def with_optional(schema: Schema, **properties: Schema) -> Schema:
    """Return the schema of an object with more properties, not required."""
    return {**schema, "properties": {**schema["properties"], **properties}}


def by_name(value: Schema, names: Schema | None = None) -> Schema:
    """Return the schema of an object with values of one kind under any name, or under `names`."""
    allowed = {"propertyNames": names} if names else {}
    return {"type": "object", **allowed, "additionalProperties": value}


def several(items: Schema) -> Schema:
    """Return the schema of an array of one kind."""
    return {"type": "array", "items": items}


def row(*cells: Schema, optional: int = 0) -> Schema:
    """Return the schema of an array with one kind for each position, of which the last may be absent."""
    return {
        "type": "array",
        "prefixItems": list(cells),
        "minItems": len(cells) - optional,
        "maxItems": len(cells),
    }


STUDY = with_optional(
    record(study_id=TEXT, trial_id=TEXT_OR_NULL),
    direction={"enum": list(DIRECTIONS)},
    has_trials={"type": "boolean"},
    divides={"type": "boolean"},
)
FACTS = record(
    run_id=TEXT,
    project_name=TEXT,
    started_at=TIME,
    package_version=TEXT,
    python_version=TEXT,
    os=TEXT,
    rank=COUNT,
    country_name=TEXT,
    country_iso_code=TEXT,
    region=TEXT,
    cloud_provider=TEXT,
    cloud_region=TEXT,
    tracking_mode={"enum": ["machine", "process"]},
    experiment_id=TEXT_OR_NULL,
    pue={"type": "number", "minimum": 1},
    wue=NOT_NEGATIVE,
    settings={**by_name(TEXT), "description": "All settings; secrets are hidden."},
    origins=by_name(TEXT),
    settings_not_used=several(TEXT),
    told=several(TEXT),
    phases_synced={"type": ["boolean", "null"]},
    trial={"type": ["string", "null"]},
    directory=TEXT,
    within=several(TEXT),
)
JOB = record(
    scheduler={"enum": ["slurm", "pbs", "lsf", "sge", "kubernetes"]},
    job_id=TEXT,
    array_id=TEXT,
    array_index=TEXT,
    step=TEXT,
    node=TEXT,
    cluster=TEXT,
    namespace=TEXT,
    user=TEXT,
)
RUN = with_optional(
    FACTS,
    study={"oneOf": [{"type": "null"}, STUDY]},
    job={"oneOf": [{"type": "null"}, JOB]},
    model_class=TEXT,
)
OWNER = {
    **record(host=TEXT, boot_id=TEXT, pid_namespace=TEXT, pid=COUNT, started=COUNT),
    "description": "The process that writes the journal; `started` is in clock ticks since boot. Absent "
    "in journals of older versions.",
}
HOST = record(
    cpu_model=TEXT_OR_NULL,
    cpu_count={"type": ["integer", "null"], "minimum": 0},
    ram_total_gb=NUMBER_OR_NULL,
    gpu_models=several(TEXT),
    facts=by_name(TEXT),
    idle_w=by_name(NUMBER),
)
UTILIZATION = record(
    cpu_percent=NUMBER_OR_NULL,
    gpu_percent=NUMBER_OR_NULL,
    ram_percent=NUMBER_OR_NULL,
    ram_used_gb=NUMBER_OR_NULL,
    gpu_least_share=by_name(NUMBER),
)
INTENSITY: dict[str, Schema] = {
    "g_per_kwh": NOT_NEGATIVE,
    "place": TEXT,
    "source": TEXT,
    "kind": {"enum": ["live", "annual", "world", "user"]},
    "scope": {"enum": ["lifecycle", "direct", None]},
    "sigma_ln": NOT_NEGATIVE,
    "year": {"type": ["integer", "null"]},
    "time": TEXT_OR_NULL,
    "note": TEXT,
    "accounting": {"enum": ["production", "consumption", None]},
    "licence": TEXT,
    "low_carbon_share": {**SHARE, "type": ["number", "null"]},
}
PHASE: dict[str, Schema] = {
    "name": TEXT,
    "duration_s": NOT_NEGATIVE,
    "joules": NUMBER,
    "count": COUNT,
}
PHASE_SIGMA: dict[str, Schema] = {"sigma_ln": NUMBER_OR_NULL}
REFUSALS = several(record(meter=TEXT, component=COMPONENT, reason=TEXT, remedy=TEXT))
ESTIMATE = record(value=NUMBER_OR_NULL, low_95=NUMBER_OR_NULL, high_95=NUMBER_OR_NULL)
TOTALS: dict[str, Schema] = {"energy_kwh": NUMBER_OR_NULL, "emissions_kg": NUMBER_OR_NULL}
ENERGY_ENDS: dict[str, Schema] = {
    "energy_low_kwh": NUMBER_OR_NULL,
    "energy_high_kwh": NUMBER_OR_NULL,
}
ENDS: dict[str, Schema] = {
    **ENERGY_ENDS,
    "emissions_low_kg": NUMBER_OR_NULL,
    "emissions_high_kg": NUMBER_OR_NULL,
}
ERRORS: dict[str, Schema] = {
    "energy_sd_kwh": {"oneOf": [{"type": "null"}, by_name(NOT_NEGATIVE)]},
    "intensity_sd_kg": by_name(NOT_NEGATIVE),
    "foreign_kwh": NOT_NEGATIVE,
}
SEGMENTS = several(
    with_optional(
        record(
            run_id=TEXT,
            started_at=TEXT,
            duration_s=NOT_NEGATIVE,
            energy_kwh=NUMBER,
            emissions_kg=NUMBER,
        ),
        **ERRORS,
        **ENDS,
    )
)
TRIAL = record(
    trial_id=TEXT,
    started_at=TEXT,
    status={"enum": [*TRIAL_STATUSES, RUNNING]},
    value=NUMBER_OR_NULL,
    parameters=by_name(TEXT),
    duration_s=NOT_NEGATIVE,
    **TOTALS,
    **ENDS,
)
TRACE = {
    **record(
        readings=several(row(COUNT, several(NOT_NEGATIVE), several(NUMBER))),
        phases=several(row(NOT_NEGATIVE, TEXT)),
        windows=several(row(TEXT, NOT_NEGATIVE, NOT_NEGATIVE)),
    ),
    "description": "Trace data since the previous line; times are seconds since the run began: readings "
    "(index of the device, times, cumulative joules), phases (beginning, name), windows that ended "
    "(name, beginning, end). Not needed for any total.",
}
SEGMENT_ROWS = several(
    row(TEXT, TEXT, NOT_NEGATIVE, NUMBER, NUMBER, *ERRORS.values(), optional=len(ERRORS))
)
DEVICE = with_optional(
    record(
        id=TEXT,
        name=TEXT,
        component=COMPONENT,
        method=TEXT,
        grade=GRADE,
        least_share=SHARE,
        note=TEXT,
        measured_j=NUMBER,
        extrapolated_j=NUMBER,
        missing_s=NOT_NEGATIVE,
    ),
    extrapolated_sd_j=NUMBER,
    calibration={
        "oneOf": [{"type": "null"}, record(gain=NUMBER, sigma_ln=NOT_NEGATIVE, source=TEXT)]
    },
)


def _with_ends(name: str) -> dict[str, Schema]:
    """Return the properties of an energy and the ends of its interval."""
    return {f"{name}{end}_kwh": NUMBER_OR_NULL for end in ("", "_low", "_high")}


REQUESTS = record(
    duration_s=NOT_NEGATIVE,
    idle_s=NOT_NEGATIVE,
    **_with_ends("idle_energy"),
    counters=several(
        record(
            name=TEXT,
            completed=COUNT,
            failed=COUNT,
            unfinished=COUNT,
            tokens=COUNT,
            **_with_ends("energy"),
            **_with_ends("failed_energy"),
            **_with_ends("unfinished_energy"),
            **_with_ends("energy_per_request"),
            **_with_ends("energy_per_token"),
        )
    ),
)
# As the journal has them: joules of the hardware, from which the receipt's figures follow.
REQUEST_JOULES = record(
    counters=several(
        record(
            name=TEXT,
            completed=COUNT,
            failed=COUNT,
            unfinished=COUNT,
            tokens=COUNT,
            joules=NUMBER,
            failed_j=NUMBER,
            unfinished_j=NUMBER,
        )
    ),
    duration_s=NOT_NEGATIVE,
    idle_s=NOT_NEGATIVE,
    idle_j=NUMBER,
    sigma_ln=NOT_NEGATIVE,
    idle_sigma_ln=NOT_NEGATIVE,
)


def receipt() -> Schema:
    """Return the schema of a receipt."""
    return {
        "$schema": DIALECT,
        "title": "Receipt of a run",
        "description": "Energy and emissions of a run, and their sources. Units are in the names; null "
        "means not available.",
        **with_optional(
            record(
                schema_version={"const": 1},
                run=RUN,
                status={"enum": list(STATUSES)},
                ended_at=TIME,
                duration_s=NOT_NEGATIVE,
                energy_kwh=ESTIMATE,
                energy_sigma_ln=record(systematic=NOT_NEGATIVE, random=NOT_NEGATIVE),
                hardware_energy_kwh=NUMBER_OR_NULL,
                net_energy_kwh=NUMBER_OR_NULL,
                emissions_kg=ESTIMATE,
                power_w=NUMBER_OR_NULL,
                water_l=NUMBER_OR_NULL,
                is_estimate={"type": "boolean"},
                share_by_grade=by_name(SHARE, GRADE),
                components=by_name(
                    with_optional(
                        record(
                            energy_kwh=NUMBER_OR_NULL, power_w=NUMBER_OR_NULL, methods=several(TEXT)
                        ),
                        **ENERGY_ENDS,
                    ),
                    COMPONENT,
                ),
                devices=several(with_optional(DEVICE, energy_kwh=NUMBER_OR_NULL, **ENERGY_ENDS)),
                missing_s=NOT_NEGATIVE,
                shared=several(TEXT),
                not_metered=TEXT,
                intensity_g_per_kwh=NUMBER,
                intensities=several(record(**INTENSITY, **TOTALS)),
                earlier_starts=SEGMENTS,
                other_ranks=SEGMENTS,
                training=with_optional(record(**TOTALS), **ENDS),
                marginal_intensity={
                    "oneOf": [{"type": "null"}, record(g_per_kwh=NUMBER, place=TEXT, source=TEXT)]
                },
                phases=several(
                    with_optional(
                        record(**{**PHASE, "joules": NUMBER_OR_NULL}, energy_kwh=NUMBER_OR_NULL),
                        **PHASE_SIGMA,
                        **ENERGY_ENDS,
                    )
                ),
                hours=several(
                    with_optional(
                        record(start=TEXT, hardware_energy_kwh=NUMBER, emissions_kg=NUMBER),
                        hardware_energy_low_kwh=NUMBER,
                        hardware_energy_high_kwh=NUMBER,
                        emissions_low_kg=NUMBER,
                        emissions_high_kg=NUMBER,
                    )
                ),
                host=HOST,
                refused_meters=REFUSALS,
                utilization=UTILIZATION,
            ),
            is_known={"type": "boolean"},
            not_measured=several(TEXT),
            net_energy_low_kwh=NUMBER_OR_NULL,
            net_energy_high_kwh=NUMBER_OR_NULL,
            node_energy_kwh=NUMBER_OR_NULL,
            node_energy_low_kwh=NUMBER_OR_NULL,
            node_energy_high_kwh=NUMBER_OR_NULL,
            node_energy_basis=TEXT_OR_NULL,
            **ERRORS,
            logged_metrics=by_name(NUMBER),
            work=record(**dict.fromkeys(Work._fields, NUMBER_OR_NULL)),
            dataset_samples=NUMBER_OR_NULL,
            tasks=several(record(name=TEXT, duration_s=NOT_NEGATIVE, **TOTALS, **ENDS)),
            trials=several(TRIAL),
            requests={"oneOf": [{"type": "null"}, REQUESTS]},
        ),
    }


def _typed(schema: Schema, name: str) -> Schema:
    """Return what makes a record a line of a type."""
    return {
        "required": ["type", *schema["required"]],
        "properties": {"type": {"const": name}, **schema["properties"]},
    }


def journal() -> Schema:
    """Return the schema of one line of a journal."""
    return {
        "$schema": DIALECT,
        "title": "One line of a journal",
        "description": "`run` has the facts of the run and is repeated when they change; `totals` has "
        "the totals so far; `delivered` has the amounts that a service has accepted: duration_s, "
        "energy_kwh, emissions_kg, cpu_energy_kwh, gpu_energy_kwh, ram_energy_kwh, water_l; `trial` has "
        "the results so far of a trial of a study.",
        "oneOf": [
            with_optional(
                record(
                    type={"const": "run"},
                    run=RUN,
                    devices=several({"type": "object"}),
                    host=HOST,
                    refusals=REFUSALS,
                    earlier=SEGMENT_ROWS,
                    others=SEGMENT_ROWS,
                ),
                owner=OWNER,
                schema_version={"const": 1},
            ),
            with_optional(
                record(
                    type={"const": "totals"},
                    status=TEXT,
                    ended_at=TIME,
                    duration_s=NOT_NEGATIVE,
                    energies=several(row(NUMBER, NUMBER, NOT_NEGATIVE, NUMBER, optional=1)),
                    prices=several(
                        record(intensity=record(**INTENSITY), joules=NUMBER, grams=NUMBER)
                    ),
                    phases=several(with_optional(record(**PHASE), **PHASE_SIGMA)),
                    hours=several(row(TEXT, NUMBER, NUMBER)),
                    utilization=UTILIZATION,
                    moments=TRACE,
                ),
                requests=REQUEST_JOULES,
            ),
            record(
                type={"const": "delivered"},
                output=TEXT,
                amounts=row(*[NUMBER] * 7),
                remote_id=TEXT_OR_NULL,
            ),
            {**TRIAL, **_typed(TRIAL, "trial")},
        ],
    }


def pages() -> dict[Path, str]:
    """Return the text of each schema's file."""
    schemas = {"receipt.schema.json": receipt(), "journal.schema.json": journal()}
    return {DATA / name: json.dumps(one, indent=1) + "\n" for name, one in schemas.items()}


if __name__ == "__main__":
    sys.exit(write_or_check(pages()))
