"""The table of meters, in order of preference. CONTRIBUTING.md, "Add a meter", describes a new row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from carbon_core import methods
from carbon_core.hardware import gpu_selection
from carbon_core.hardware.amd.search import count_amd_boards, has_amd_driver, open_amd
from carbon_core.hardware.apple import open_apple
from carbon_core.hardware.cpu_load import CpuLoadMeter, modelled_power
from carbon_core.hardware.dimms import read_dimms
from carbon_core.hardware.hwmon import has_sensors, open_hwmon
from carbon_core.hardware.meter_spec import GpuBackend, GpuMeter, MeterSpec, OpenContext, Opened
from carbon_core.hardware.nvml.search import count_nvidia_boards, load_nvml, open_nvml
from carbon_core.hardware.ram import RamMeter, modelled_ram
from carbon_core.hardware.rapl import open_rapl
from carbon_core.hardware.rapl_meter import RaplMeter
from carbon_core.hardware.rapl_perf import open_rapl_perf

_RAPL_PACKAGE = (methods.RAPL_INTEL_SERVER, methods.RAPL_INTEL_CLIENT, methods.RAPL_AMD)


def _open_apple(context: OpenContext) -> Opened:
    return Opened([open_apple(context.clock, context.options.period_s)])


def _rapl(open_meter: Callable[..., RaplMeter]) -> Callable[[OpenContext], Opened]:
    """Return the function that opens a row of RAPL, whichever interface shows the counters."""

    def open_row(context: OpenContext) -> Opened:
        meter = open_meter(
            context.host.root,
            context.clock,
            context.options.period_s,
            context.cpu().model_name or "",
            dram="ram" in context.missing,
            on_problem=context.on_problem,
            models_w={
                "cpu": modelled_power(context.host, context.cpu),
                "ram": modelled_ram(context.host),
            },
        )
        return Opened([meter], meter.dropped)

    return open_row


def _gpus(
    open_meters: Callable[..., Sequence[GpuMeter]],
) -> Callable[[OpenContext], Sequence[GpuMeter]]:
    """Return the function that opens a row of GPUs."""

    def open_row(context: OpenContext) -> Sequence[GpuMeter]:
        options = context.options
        chosen = options.gpu_ids, options.gpu_environ
        return open_meters(context.clock, options.period_s, *chosen, context.on_problem)

    return open_row


def _open_hwmon(context: OpenContext) -> Opened:
    options = context.options
    meters, refusals = open_hwmon(
        context.host.root,
        context.clock,
        options.period_s,
        context.missing,
        gpu_ids=options.gpu_ids,
        environ=options.gpu_environ,
        on_problem=context.on_problem,
    )
    return Opened(meters, refusals)


def _open_cpu_load(context: OpenContext) -> Opened:
    rated_w = context.options.force_cpu_power_w
    return Opened([CpuLoadMeter(context.host, context.clock, context.cpu(), rated_w)])


def _open_ram(context: OpenContext) -> Opened:
    host, options = context.host, context.options
    size_gb, dimms = host.ram_total_gb(), read_dimms(host.root)
    forced_w = options.force_ram_power_w
    return Opened([RamMeter(context.clock, size_gb, options.period_s, forced_w, dimms, host)])


METERS: tuple[MeterSpec | GpuBackend, ...] = (
    MeterSpec(
        name="apple",
        module="carbon_core.hardware.apple",
        components=("cpu", "gpu", "ram"),
        methods=(methods.APPLE,),
        vendor_module="zeus_apple_silicon",
        distribution="zeus-apple-silicon",
        extra="apple",
        present=lambda host: host.is_apple(),
        open=_open_apple,
    ),
    MeterSpec(
        name="rapl",
        module="carbon_core.hardware.rapl",
        components=("cpu",),
        also=("ram",),
        methods=(*_RAPL_PACKAGE, methods.RAPL_DRAM, methods.RAPL_CORE),
        open=_rapl(open_rapl),
    ),
    MeterSpec(
        name="rapl by perf",
        module="carbon_core.hardware.rapl_perf",
        components=("cpu",),
        also=("ram",),
        methods=(*_RAPL_PACKAGE, methods.RAPL_DRAM),
        better_than=(methods.RAPL_CORE,),
        open=_rapl(open_rapl_perf),
    ),
    GpuBackend(
        name="nvml",
        label="NVML",
        module="carbon_core.hardware.nvml.search",
        methods=(
            *methods.UNPUBLISHED,
            *methods.UNPUBLISHED.values(),
            methods.GPU_LIMIT_UTILIZATION,
        ),
        vendor_module="pynvml",
        distribution="nvidia-ml-py",
        variables=gpu_selection.CUDA_VARIABLES,
        boards=count_nvidia_boards,
        load=load_nvml,
        open=_gpus(open_nvml),
    ),
    GpuBackend(
        name="amdsmi",
        label="amdsmi",
        module="carbon_core.hardware.amd.search",
        methods=(methods.AMDSMI_ENERGY, methods.AMDSMI_POWER),
        vendor_module="amdsmi",
        distribution="amdsmi",
        extra="amd",
        variables=gpu_selection.ROCM_VARIABLES,
        present=has_amd_driver,
        boards=count_amd_boards,
        open=_gpus(open_amd),
    ),
    MeterSpec(
        name="hwmon",
        module="carbon_core.hardware.hwmon",
        components=("cpu", "gpu", "ram"),
        methods=(methods.HWMON_ENERGY, methods.HWMON_POWER, methods.HWMON_SOCKET),
        variables=gpu_selection.ROCM_VARIABLES,
        present=has_sensors,
        open=_open_hwmon,
    ),
    MeterSpec(
        name="cpu load",
        module="carbon_core.hardware.cpu_load",
        components=("cpu",),
        methods=(methods.CPU_LOAD_TDP, methods.CPU_LOAD_SAVING, methods.CPU_LOAD_DEFAULT),
        is_model=True,
        open=_open_cpu_load,
    ),
    MeterSpec(
        name="ram model",
        module="carbon_core.hardware.ram",
        components=("ram",),
        methods=(methods.RAM_MODEL, methods.FORCED_POWER),
        is_model=True,
        open=_open_ram,
    ),
)


def gpu_variables() -> tuple[str, ...]:
    """Return the environment variables that select the devices of any meter."""
    return tuple(dict.fromkeys(name for spec in METERS for name in spec.variables))
