"""Settings as keyword arguments, for type checkers and editors.

Generated from `carbon_core/config/schema.py` by `python tools/write_settings.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class SettingArguments(TypedDict, total=False):
    """Every setting as an argument; None selects the default instead of another source's value."""

    project_name: str | None
    measure_power_secs: float | None
    tracking_mode: str | None
    gpu_ids: Sequence[int | str] | int | str | None
    force_cpu_power: float | None
    force_ram_power: float | None
    force_mode_cpu_load: bool | None
    calibration: Mapping[str, Any] | str | None
    pue: float | None
    cloud_pue: bool | None
    wue: float | None
    budget_kwh: float | None
    budget_kg_co2e: float | None
    on_budget: str | None
    country_iso_code: str | None
    country_2letter_iso_code: str | None
    region: str | None
    cloud_provider: str | None
    cloud_region: str | None
    geolocation: str | None
    geolocation_url: str | None
    intensity_scope: str | None
    intensity_year: int | None
    force_carbon_intensity_g_co2e_kwh: float | None
    electricitymaps_api_token: str | None
    electricitymaps_zone: str | None
    latitude: float | None
    longitude: float | None
    electricitymaps_url: str | None
    intensity_source: str | None
    intensity_url: str | None
    watttime_username: str | None
    watttime_password: str | None
    watttime_region: str | None
    watttime_url: str | None
    api_call_interval: int | None
    output_dir: str | os.PathLike[str] | None
    output_file: str | os.PathLike[str] | None
    save_to_file: bool | None
    output_methods: Sequence[str] | str | None
    on_csv_write: str | None
    journal: bool | None
    log_metrics: Sequence[str] | str | None
    log_receipt: bool | None
    progress_bar: bool | None
    min_duration_s: float | None
    log_level: int | str | None
    logger_preamble: str | None
    shutdown_timeout_s: float | None
    strict_config: bool | None
    trust_local_config: bool | None
    experiment_id: str | None
    study_id: str | None
    trial_id: str | None
    job_node: bool | None
    job_user: bool | None
    experiment_name: str | None
    output_handlers: Any
    emissions_endpoint: str | None
    save_to_api: bool | None
    api_endpoint: str | None
    api_key: str | None
    save_to_logger: bool | None
    logging_logger: Any
    save_to_prometheus: bool | None
    prometheus_url: str | None
    prometheus_username: str | None
    prometheus_password: str | None
    prometheus_textfile_dir: str | os.PathLike[str] | None
    prometheus_port: int | None
    prometheus_address: str | None
    prometheus_run_labels: Sequence[str] | str | None
    otlp_endpoint: str | None
    save_to_logfire: bool | None
    logfire_token: str | None
    logfire_url: str | None
    metadata: Mapping[str, Any] | str | os.PathLike[str] | None
    allow_multiple_runs: bool | None
    rapl_include_dram: bool | None
    rapl_prefer_psys: bool | None
    co2_signal_api_token: str | None
