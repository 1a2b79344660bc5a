"""The setting `calibration`: meters whose values are multiplied by the gain that the user has found.

All that follows from a reading is calibrated with it: totals, files, resumed runs. It is applied here
only, so never twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from carbon_core.calibrations import of_device
from carbon_core.hardware.base import Meter, Promotion, WrappedMeter
from carbon_core.methods import Calibration
from carbon_core.record import replace
from carbon_core.records import COMPONENTS, Device, Reading


class CalibratedMeter(WrappedMeter):
    """A meter whose values are multiplied by gains.

    Args:
        meter: The meter.
        calibrations: By `Device.id` or component.
    """

    def __init__(self, meter: Meter, calibrations: Mapping[str, Calibration]) -> None:
        of_id = {one.id: of_device(one, calibrations) for one in meter.devices}
        self._calibrations = {name: one for name, one in of_id.items() if one is not None}
        super().__init__(meter, list(map(self._calibrated, meter.devices)))

    def read(self) -> list[Reading]:
        """Read the meter."""
        return [self._scaled(reading) for reading in self._meter.read()]

    def promoted(self) -> Sequence[Promotion]:
        """Return the devices that a better method can read now, calibrated as before."""
        return [
            one._replace(
                device=self._calibrated(one.device), readings=list(map(self._scaled, one.readings))
            )
            for one in super().promoted()
        ]

    def _scaled(self, reading: Reading) -> Reading:
        calibration = self._calibrations.get(reading.device_id)
        if calibration is None:
            return reading
        gain = calibration.gain
        return reading._replace(
            value=_times(reading.value, gain), power_w=_times(reading.power_w, gain)
        )

    def _calibrated(self, device: Device) -> Device:
        calibration = self._calibrations.get(device.id)
        if calibration is None:
            return device
        return replace(
            device,
            method=device.method.calibrated(calibration),
            wrap_j=_times(device.wrap_j, calibration.gain),
            max_power_w=device.max_power_w * calibration.gain,
        )


def calibrated(meters: Sequence[Meter], calibrations: Mapping[str, Calibration]) -> Sequence[Meter]:
    """Return the meters, with those devices calibrated that a calibration is for."""
    return [
        CalibratedMeter(meter, calibrations)
        if any(of_device(device, calibrations) for device in meter.devices)
        else meter
        for meter in meters
    ]


def calibrated_idle(
    idle_w: Mapping[str, float], devices: Sequence[Device], calibrations: Mapping[str, Calibration]
) -> Mapping[str, float]:
    """Return the idle power in watts by `Device.id`, calibrated as the energy of the devices is."""
    of_id = {one.id: of_device(one, calibrations) for one in devices}
    gains = {name: one.gain for name, one in of_id.items() if one is not None}
    return {name: power_w * gains.get(name, 1.0) for name, power_w in idle_w.items()}


def unknown_devices(
    calibrations: Mapping[str, Calibration], devices: Sequence[Device]
) -> list[str]:
    """Return a message for each calibration of a device by its id that is not measured here."""
    ids = {device.id.lower() for device in devices}
    found = ", ".join(device.id for device in devices)
    return [
        f"calibration: no device {name} is measured here; those that are: {found or 'none'}"
        for name in calibrations
        if name not in COMPONENTS and name.lower() not in ids
    ]


def _times(value: float | None, gain: float) -> float | None:
    return None if value is None else value * gain
