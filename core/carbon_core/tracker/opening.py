"""Makes and opens the outputs of a run: after its first readings, for that may load modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from carbon_core.hardware.base import Meter
from carbon_core.messages import Messages
from carbon_core.report import Report
from carbon_core.threads import Latch
from carbon_core.tracker.emissions import RunEmissions, described
from carbon_core.tracker.parts import Parts
from carbon_core.tracker.predecessors import Predecessors
from carbon_core.tracker.run_lines import announce
from carbon_core.tracker.run_meters import RunMeters
from carbon_core.tracker.run_outputs import RunOutputs

_T = TypeVar("_T")


class Opening:
    """Makes the outputs of a run and opens them, once its GPUs are known or take too long.

    Attributes:
        done: Set once the outputs are made, and opened unless GPUs are still searched.

    Args:
        parts: How to make the outputs.
        meters: The meters, which the greeting names.
        emissions: The intensity, which it names, too.
        outputs: The outputs.
        predecessors: Earlier runs, whose journals opening recovers.
        report: Returns the totals so far.
    """

    def __init__(
        self,
        parts: Parts,
        meters: RunMeters,
        emissions: RunEmissions,
        outputs: RunOutputs,
        predecessors: Predecessors,
        report: Callable[[], Report],
    ) -> None:
        self.done = Latch()
        self._parts = parts
        self._meters = meters
        self._emissions = emissions
        self._outputs = outputs
        self._predecessors = predecessors
        self._report = report
        self._greeted: str | None = None

    def begin(self, add: Callable[[Sequence[Meter]], object]) -> None:
        """Make the outputs; does nothing the second time.

        Args:
            add: Adds the meters of GPUs that are found later.
        """
        if self.done.is_set():
            return
        parts = self._parts
        files = _made(parts.make_outputs, parts.messages)
        deliveries = _made(parts.make_deliveries, parts.messages)
        if self._meters.counted_elsewhere:
            self._emissions.go_offline()
            self._outputs.use((), ())
        else:
            self._outputs.use(files, deliveries)

        def join(meters: Sequence[Meter]) -> None:
            add(meters)
            if meters and self._outputs.is_open:
                self.greet()
            self._open()

        self._meters.when_late(join)
        if not self._meters.is_pending:
            self._open()
        self.done.set()

    def greet_at_start(self) -> None:
        """Log the meters found so far as a run begins, on the user's thread; the rest follows.

        A run that may be too short for any output logs nothing until it is long enough.
        """
        if self._parts.min_duration_s > 0:
            return
        if not self._meters.is_searching:
            self.greet()
            return
        text = f"{self._meters.summary()}; {described(self._emissions.assumed)}"
        announce(self._parts.messages, "search", text)

    def greet(self) -> None:
        """Log what is measured, and with which intensity, unless the run did so with these meters.

        Not beside the last line of a run that has ended meanwhile, which has the grades.
        """
        measured = self._meters.summary()
        if measured != self._greeted:
            self._greeted = measured
            text = f"{measured}; {described(self._emissions.assumed)}"
            announce(
                self._parts.messages, "greeting", text, unless=lambda: self._outputs.is_closing
            )

    def _open(self) -> None:
        if self._outputs.is_open:
            return
        try:
            if self._parts.only_with_meters:
                self._emissions.request_location()
            self._outputs.open(self._report(), self.greet)
            # Opening has recovered the journals of killed runs.
            self._outputs.submit(self._predecessors.find_rest)
        except Exception as error:  # noqa: BLE001 - no output may cost the measuring
            self._parts.messages.warn(f"the outputs cannot be opened: {error!r}")


def _made(make: Callable[[], Sequence[_T]], messages: Messages) -> Sequence[_T]:
    """Return outputs; none where they cannot be made, because measuring does not need them."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - such as no memory to import their modules
        messages.warn(f"the results cannot be written: {error!r}")
        return ()
