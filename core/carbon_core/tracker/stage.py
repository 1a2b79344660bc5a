"""The stage of a run, shared by its parts: what is still allowed to change."""

from __future__ import annotations

import enum


class Stage(enum.IntEnum):
    """How far a run is; only ever rises.

    Attributes:
        RUNNING: Energy is measured.
        CLOSING: The last reading is taken; outputs wait for the final totals.
        FINAL: Emissions are fixed; an intensity that arrives later is discarded.
        CLOSED: The final report exists.
    """

    RUNNING = 0
    CLOSING = 1
    FINAL = 2
    CLOSED = 3


class RunState:
    """The current stage of one run.

    Attributes:
        stage: Assigned by the thread that closes the run, read by the workers.
    """

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage = Stage.RUNNING

    @property
    def closing(self) -> bool:
        """Whether the run is being closed, or is closed."""
        return self.stage >= Stage.CLOSING

    @property
    def final(self) -> bool:
        """Whether emissions are fixed."""
        return self.stage >= Stage.FINAL
