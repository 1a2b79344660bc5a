"""Power sensors of boards, through Linux hwmon: GPUs without a vendor library, Arm servers, Jetson.

Driver and label of a sensor determine what it measures; an unknown one is refused. Tested on trees of
files, not on hardware. See https://docs.kernel.org/hwmon/sysfs-interface.html.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal

from carbon_core.clock import Clock
from carbon_core.hardware import acpi_power
from carbon_core.hardware.driver_calls import RETRIES_S, Pause, wait
from carbon_core.hardware.gpu_selection import select_amd
from carbon_core.hardware.host import Host
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.methods import HWMON_ENERGY, HWMON_POWER, HWMON_SOCKET, Method
from carbon_core.plausible import number, one_line
from carbon_core.record import record
from carbon_core.records import Component, Device, Reading, Refusal
from carbon_core.system_files import bytes_in, exists, matches, text_in

_HWMON = "sys/class/hwmon"
_MICRO_PER_UNIT = 1e6
_MILLI_PER_UNIT = 1e3
_POLL_PERIOD_S = 0.1
_MAX_W = 5000.0
_MAX_RAW = 2.0**63
# Reading a counter wakes its board, which then adds to it.
_STILL_S = 1.0
# A rail of processor and GPU together is counted once, as the processor.
_RAILS: tuple[tuple[str, Component], ...] = (
    ("cpu", "cpu"),
    ("gpu", "gpu"),
    ("ddr", "ram"),
    ("dram", "ram"),
    ("mem", "ram"),
)
_RAIL_DRIVERS = ("ina3221", "ina2xx", "ina209", "ina219", "ina226", "ina238")
# Lower-case labels of the rail that supplies the whole board.
_INPUTS = ("vin", "vdd_in", "pom_5v_in")
# Lower-case labels of a whole processor, by driver.
_SOCKETS = {"amd_energy": "esocket", "xgene_hwmon": "cpu power"}
_GPU_DRIVERS = ("amdgpu", "i915", "xe")
_WHOLE = "it measures the whole machine, which includes what is already counted"


@record(frozen=True)
class Sensor:
    """One channel of a hwmon device.

    Attributes:
        place: Directory of the device, such as ``/sys/class/hwmon/hwmon3``.
        driver: Contents of its ``name`` file.
        label: The channel's label, or an empty string.
        kind: ``counter`` for cumulative joules, ``power`` for watts.
        files: The files whose product is the value, each with its units per joule, watt, volt or ampere.
    """

    place: Path
    driver: str
    label: str
    kind: Literal["counter", "power"]
    files: tuple[tuple[str, float], ...]

    @property
    def board(self) -> str:
        """Name of the hardware it belongs to, which stays the same after a reboot."""
        device = self.place / "device"
        try:
            return one_line(device.resolve().name.encode("utf-8", "replace").decode())
        except (OSError, RuntimeError):  # a loop of links
            return self.place.name

    @property
    def title(self) -> str:
        """Name for messages."""
        return f"{self.driver} {self.label}".strip()

    def value(self) -> float | None:
        """Return joules or watts, or None when the sensor cannot be read or its value is invalid.

        A rail may carry no current, and a counter starts at 0; a whole board or processor that is
        switched on always draws some power, so that its 0 means that the driver has no reading.
        """
        value = self.raw()
        may_be_zero = self.kind == "counter" or self.driver in _RAIL_DRIVERS
        return value if value or may_be_zero else None

    def raw(self) -> float | None:
        """Return what the files show, or None when they cannot be read or show no valid number."""
        product = 1.0
        for file, per_unit in self.files:
            shown = number(bytes_in(self.place / file), -_MAX_RAW, _MAX_RAW)
            if shown is None:
                return None
            shown /= per_unit
            # A current slightly below 0 is the offset of an amplifier without a load.
            product *= max(0.0, shown) if len(self.files) > 1 else shown
        return product if product >= 0.0 else None


class HwmonMeter:
    """Reads sensors that share a period.

    Args:
        sensors: The sensors by device.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
    """

    def __init__(self, sensors: Mapping[Device, Sensor], clock: Clock, period_s: float) -> None:
        self.devices = tuple(sensors)
        self.period_s = period_s
        self._sensors = {device: (sensor, ReadTimer(clock)) for device, sensor in sensors.items()}

    def read(self) -> list[Reading]:
        """Read every sensor; a failed one gives None."""
        return [
            Reading(device.id, *timer.read(sensor.value))
            for device, (sensor, timer) in self._sensors.items()
        ]

    def close(self) -> None:
        """Do nothing: no file is open."""


def has_sensors(host: Host) -> bool:
    """Return whether the kernel shows any hwmon device."""
    return bool(matches(host.root / _HWMON, "hwmon*"))


def open_hwmon(
    root: Path,
    clock: Clock,
    period_s: float,
    wanted: Collection[Component],
    *,
    gpu_ids: Sequence[int | str] | None = None,
    environ: Mapping[str, str] | None = None,
    on_problem: Callable[[str], None] = lambda text: None,
    pause: Pause = wait,
) -> tuple[list[HwmonMeter], list[Refusal]]:
    """Return meters of the sensors of some components, and refusals of the other sensors.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Requested time between two reads of a counter, in seconds.
        wanted: Components that no better meter measures.
        gpu_ids: GPUs that the user selected, or None.
        environ: Environment variables that select GPUs.
        on_problem: Callback that receives messages for the user.
        pause: Waits for some seconds, before a sensor that failed is read again.
    """
    counted: dict[Device, Sensor] = {}
    refusals: list[Refusal] = []
    sensors = _best(_sensors(root / _HWMON))
    if any(_component(one, set())[0] in wanted and _fails_now(one) for one in sensors):
        pause(RETRIES_S[0])
    whole_sockets = acpi_power.whole_sockets(
        one.label for one in sensors if one.driver == acpi_power.DRIVER and one.value() is not None
    )
    for sensor in sensors:
        component, refusal = _component(sensor, whole_sockets)
        if component is None:
            if refusal:
                reason = f"the sensor {sensor.title} is not counted: {refusal}"
                part: Component = "gpu" if sensor.driver in _GPU_DRIVERS else "cpu"
                refusals.append(Refusal("hwmon", part, reason))
        elif component in wanted and sensor.raw() is None:
            reason = f"the sensor {sensor.title} ({sensor.board}) cannot be read"
            refusals.append(Refusal("hwmon", component, reason))
            if component == "gpu":  # for other components there is a model
                on_problem(f"{reason}; this GPU is not counted")
        elif component in wanted:
            counted[_device(sensor, component)] = sensor
    hidden = _hidden_gpus(list(counted.values()), gpu_ids, environ or {})
    counted = {device: one for device, one in counted.items() if one.place not in hidden}
    meters = [
        HwmonMeter(group, clock, every_s)
        for kind, every_s in (("counter", period_s), ("power", min(period_s, _POLL_PERIOD_S)))
        if (group := {device: one for device, one in counted.items() if device.kind == kind})
    ]
    return meters, refusals


def _fails_now(sensor: Sensor) -> bool:
    """Return whether a sensor cannot be read now, and may be later: one has no value at first."""
    may_read = all(os.access(sensor.place / file, os.R_OK) for file, _ in sensor.files)
    return may_read and sensor.raw() is None


def _sensors(hwmon: Path) -> Iterator[Sensor]:
    for place in matches(hwmon, "hwmon*"):
        driver = _label(place / "name")
        for file in matches(place, "energy*_input"):
            label = _label(place / file.name.replace("_input", "_label"))
            yield Sensor(place, driver, label, "counter", ((file.name, _MICRO_PER_UNIT),))
        powers = _powers(place)
        for channel, name in sorted(powers.items()):
            label = _label(place / f"{channel}_label") or _label(place / f"{channel}_oem_info")
            yield Sensor(place, driver, label, "power", ((name, _MICRO_PER_UNIT),))
        if driver in _RAIL_DRIVERS and not powers:
            yield from _rails(place, driver)


def _powers(place: Path) -> dict[str, str]:
    """Return the files with the power of a device's channels, such as ``power1``.

    The files of the ACPI power meter are in the directory ``device``, as those of all old drivers are.
    """
    found: dict[str, str] = {}
    for folder in ("device/", ""):
        # Where a driver has both, the average is better than an instantaneous value.
        for kind in ("input", "average"):
            for file in matches(place, f"{folder}power*_{kind}"):
                found[folder + file.name.partition("_")[0]] = folder + file.name
    return found


def _rails(place: Path, driver: str) -> Iterator[Sensor]:
    """Yield the channels of a driver that has voltages and currents, but no power."""
    for current in matches(place, "curr*_input"):
        volt = current.name.replace("curr", "in")
        if exists(place / volt):
            label = _label(place / volt.replace("_input", "_label"))
            files = ((volt, _MILLI_PER_UNIT), (current.name, _MILLI_PER_UNIT))
            yield Sensor(place, driver, label, "power", files)


def _best(sensors: Iterator[Sensor]) -> list[Sensor]:
    """Return one sensor for each label of a device; energy is preferred to power."""
    best: dict[tuple[Path, str], Sensor] = {}
    for sensor in sensors:
        best.setdefault((sensor.place, sensor.label), sensor)
    return list(best.values())


def _component(sensor: Sensor, whole_sockets: Set[int]) -> tuple[Component | None, str]:
    """Return what a sensor measures, or why it is not counted."""
    label = sensor.label.lower()
    if sensor.driver == acpi_power.DRIVER and acpi_power.names_a_socket(label):
        return acpi_power.component(label, whole_sockets)
    if sensor.driver in _GPU_DRIVERS:
        return _gpu(sensor)
    if sensor.driver in _SOCKETS:
        return ("cpu" if label.startswith(_SOCKETS[sensor.driver]) else None), ""
    if sensor.driver == acpi_power.DRIVER or label.startswith(_INPUTS):
        return None, _WHOLE
    if sensor.driver in _RAIL_DRIVERS:
        return next((component for word, component in _RAILS if word in label), None), ""
    return None, "what it measures is unknown"


def _gpu(sensor: Sensor) -> tuple[Component | None, str]:
    if not sensor.files[0][0].startswith(("power1", "energy1")):
        return None, ""  # a part of the board
    # The kernel's amdgpu_pm.c hides the limit of a GPU that is part of the processor's package.
    if sensor.driver == "amdgpu" and not exists(sensor.place / "power1_cap"):
        return None, "an integrated GPU, whose sensor may measure the whole processor"
    return "gpu", ""


def _device(sensor: Sensor, component: Component) -> Device:
    counter = sensor.kind == "counter"
    name = f"{sensor.title} ({sensor.board})"
    return Device(
        f"{component}:{sensor.driver}:{sensor.board}:{sensor.label or sensor.files[0][0]}",
        component,
        name,
        HWMON_ENERGY if counter else _power_method(sensor),
        kind=sensor.kind,
        max_power_w=_MAX_W,
        still_s=_STILL_S if counter else None,
    )


def _power_method(sensor: Sensor) -> Method:
    is_acpi = sensor.driver == acpi_power.DRIVER
    return HWMON_SOCKET if is_acpi and acpi_power.includes_memory(sensor.label) else HWMON_POWER


def _hidden_gpus(
    sensors: Sequence[Sensor], gpu_ids: Sequence[int | str] | None, environ: Mapping[str, str]
) -> set[Path]:
    """Return the AMD GPUs that the settings or ROCm's variables hide."""
    boards = [sensor for sensor in sensors if sensor.driver == "amdgpu"]
    names = [f"GPU-{_label(one.place / 'device/unique_id') or one.board}" for one in boards]
    shown = set(select_amd(names, gpu_ids, environ).indices)
    return {one.place for i, one in enumerate(boards) if i not in shown}


def _label(path: Path) -> str:
    return one_line(text_in(path))
