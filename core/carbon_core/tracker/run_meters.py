"""The meters of one run: their detection, GPUs that join it late, and the load of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from carbon_core.hardware.base import Detection, Meter
from carbon_core.records import Utilization
from carbon_core.threads import Latch
from carbon_core.tracker.parts import Parts

# Longest wait at the end of a run for a search that has just begun.
_SEARCH_S = 0.1


class RunMeters:
    """The detection that a run uses.

    Attributes:
        detection: The meters that are known so far.
        counted_elsewhere: Whether other processes count every device.
        is_pending: Whether GPUs are still searched.

    Args:
        parts: The run's clock, meters and messages.
    """

    def __init__(self, parts: Parts) -> None:
        self.detection = Detection(())
        self.counted_elsewhere = self.is_pending = False
        self._detected = False
        self._joined = Latch()
        self._parts = parts

    def detect(self) -> Detection:
        """Find the meters."""
        self.detection = self._parts.detect()
        self._detected = True
        if self.detection.gauge is not None:
            self.detection.gauge.restart()
        self.counted_elsewhere = self._parts.only_with_meters and not self.detection.meters
        return self.detection

    def when_late(self, add: Callable[[Sequence[Meter]], object]) -> None:
        """Call a function with the meters of GPUs that are found later, on the search's thread.

        Also without any, once the search has ended or takes too long.
        """

        def join(detection: Detection) -> None:
            before = self.detection.meters
            self.detection, self.is_pending = detection, False
            add([meter for meter in detection.meters if meter not in before])
            self._joined.set()

        late = self.detection.late
        if late is not None:
            self.is_pending = True
            late.on_ready(join)

    def end_search(self) -> None:
        """Warn, at the end of a run, where GPUs are still searched."""
        if self.is_pending and not self._joined.wait(_SEARCH_S):
            self._parts.messages.warn(
                "the driver of the GPUs did not respond before the run ended: no GPU is counted"
            )

    @property
    def is_searching(self) -> bool:
        """Whether meters may still be found."""
        return self.detection.late is not None or not self._detected

    def summary(self) -> str:
        """Return what is measured, by which methods, as text for a message."""
        if not self._detected:
            return "measuring; meters are being detected"
        devices = [device for meter in self.detection.meters for device in meter.devices]
        methods = dict.fromkeys(
            f"{device.component} by {device.method.summary} (grade {device.method.grade})"
            for device in devices
        )
        if self.is_searching:
            methods["GPUs are being detected"] = None
        return f"measuring {', '.join(methods) or 'nothing: no meter was found'}"

    def sample_host(self) -> None:
        """Sample the load of processors and memory."""
        if self.detection.gauge is not None:
            self.detection.gauge.sample_host()

    def sample_gpus(self) -> None:
        """Sample the load of the GPUs; a driver may block it."""
        if self.detection.gauge is not None:
            self.detection.gauge.sample_gpus()

    def utilization(self) -> Utilization:
        """Return the mean loads so far."""
        gauge = self.detection.gauge
        return gauge.means() if gauge else Utilization()
