"""The framework-free core: configuration, meters, grid intensity, ledger and outputs.

This module is the facade: adapters and the command line import these names from here. Each is
loaded on first use, so that importing the package does nothing and costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from typing import Any

    from carbon_core.assemble import (
        EmissionsTracker,
        OfflineEmissionsTracker,
        TaskEmissionsTracker,
        track_emissions,
        track_task_emissions,
    )
    from carbon_core.assemble.studies import Study, TrialEnergy
    from carbon_core.clock import SystemClock
    from carbon_core.config.arguments import SettingArguments
    from carbon_core.config.lazy_signature import with_settings
    from carbon_core.config.metric_names import register_metrics
    from carbon_core.config.schema import OutputMethod
    from carbon_core.config.sources import process_environment
    from carbon_core.disclosure.activities import Activity, Disclosed
    from carbon_core.disclosure.collecting import collect_runs
    from carbon_core.disclosure.facts import Facts
    from carbon_core.disclosure.formats import MissingFactsError, disclosure_documents
    from carbon_core.errors import (
        CarbonError,
        ConfigError,
        IntensityError,
        MeterError,
        OutputError,
    )
    from carbon_core.estimation import Cost, Planned, TrainingEstimate, cost
    from carbon_core.formatting import (
        duration,
        emissions,
        emissions_interval,
        emissions_range,
        energy,
        energy_interval,
        energy_range,
        formatted,
        local_time,
        power,
    )
    from carbon_core.interruptions import raise_if_of_program
    from carbon_core.intervals import in_quadrature
    from carbon_core.outputs.card_entry import card_entry
    from carbon_core.outputs.card_text import write_card_entry
    from carbon_core.outputs.emissions_data import EmissionsData
    from carbon_core.outputs.receipt import receipt_text
    from carbon_core.outputs.studies import StudyTotals
    from carbon_core.records import Estimate, Segment, Window
    from carbon_core.report import Report
    from carbon_core.run_facts import Work
    from carbon_core.segments import segments_of, state_of
    from carbon_core.system_files import text_in
    from carbon_core.threads import LazyThread
    from carbon_core.tracker.display import html_of_tracker, line_of_tracker
    from carbon_core.tracker.open_window import OpenWindow
    from carbon_core.tracker.parts import Parts
    from carbon_core.tracker.status import status_of
    from carbon_core.tracker.tracker import Tracker
    from carbon_core.trials import TrialResult
    from carbon_core.uncertainty import emissions_of_segments, energy_of_segments, t_975
    from carbon_core.units import grams, joules, kwh

_HOMES = {
    "Activity": "disclosure.activities",
    "CarbonError": "errors",
    "ConfigError": "errors",
    "Cost": "estimation",
    "Disclosed": "disclosure.activities",
    "EmissionsData": "outputs.emissions_data",
    "EmissionsTracker": "assemble.trackers",
    "Estimate": "records",
    "Facts": "disclosure.facts",
    "IntensityError": "errors",
    "LazyThread": "threads",
    "MeterError": "errors",
    "MissingFactsError": "disclosure.formats",
    "OfflineEmissionsTracker": "assemble.trackers",
    "OpenWindow": "tracker.open_window",
    "OutputError": "errors",
    "OutputMethod": "config.schema",
    "Parts": "tracker.parts",
    "Planned": "estimation",
    "Report": "report",
    "Segment": "records",
    "SettingArguments": "config.arguments",
    "Study": "assemble.studies",
    "StudyTotals": "outputs.studies",
    "SystemClock": "clock",
    "TaskEmissionsTracker": "assemble.tasks",
    "Tracker": "tracker.tracker",
    "TrainingEstimate": "estimation",
    "TrialEnergy": "assemble.studies",
    "TrialResult": "trials",
    "Window": "records",
    "Work": "run_facts",
    "card_entry": "outputs.card_entry",
    "collect_runs": "disclosure.collecting",
    "cost": "estimation",
    "disclosure_documents": "disclosure.formats",
    "duration": "formatting",
    "emissions": "formatting",
    "emissions_interval": "formatting",
    "emissions_of_segments": "uncertainty",
    "emissions_range": "formatting",
    "energy": "formatting",
    "energy_interval": "formatting",
    "energy_of_segments": "uncertainty",
    "energy_range": "formatting",
    "formatted": "formatting",
    "grams": "units",
    "html_of_tracker": "tracker.display",
    "in_quadrature": "intervals",
    "joules": "units",
    "kwh": "units",
    "line_of_tracker": "tracker.display",
    "local_time": "formatting",
    "power": "formatting",
    "process_environment": "config.sources",
    "raise_if_of_program": "interruptions",
    "receipt_text": "outputs.receipt",
    "register_metrics": "config.metric_names",
    "segments_of": "segments",
    "state_of": "segments",
    "status_of": "tracker.status",
    "t_975": "uncertainty",
    "text_in": "system_files",
    "track_emissions": "assemble.decorator",
    "track_task_emissions": "assemble.tasks",
    "with_settings": "config.lazy_signature",
    "write_card_entry": "outputs.card_text",
}

__all__ = [
    "Activity",
    "CarbonError",
    "ConfigError",
    "Cost",
    "Disclosed",
    "EmissionsData",
    "EmissionsTracker",
    "Estimate",
    "Facts",
    "IntensityError",
    "LazyThread",
    "MeterError",
    "MissingFactsError",
    "OfflineEmissionsTracker",
    "OpenWindow",
    "OutputError",
    "OutputMethod",
    "Parts",
    "Planned",
    "Report",
    "Segment",
    "SettingArguments",
    "Study",
    "StudyTotals",
    "SystemClock",
    "TaskEmissionsTracker",
    "Tracker",
    "TrainingEstimate",
    "TrialEnergy",
    "TrialResult",
    "Window",
    "Work",
    "card_entry",
    "collect_runs",
    "cost",
    "disclosure_documents",
    "duration",
    "emissions",
    "emissions_interval",
    "emissions_of_segments",
    "emissions_range",
    "energy",
    "energy_interval",
    "energy_of_segments",
    "energy_range",
    "formatted",
    "grams",
    "html_of_tracker",
    "in_quadrature",
    "joules",
    "kwh",
    "line_of_tracker",
    "local_time",
    "power",
    "process_environment",
    "raise_if_of_program",
    "receipt_text",
    "register_metrics",
    "segments_of",
    "state_of",
    "status_of",
    "t_975",
    "text_in",
    "track_emissions",
    "track_task_emissions",
    "with_settings",
    "write_card_entry",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
