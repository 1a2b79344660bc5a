"""The totals of all ranks of a training; all ranks log the same."""

from __future__ import annotations

from carbon_callbacks._training.metrics import never_less
from carbon_callbacks._training.rank_exchange import RankExchange
from carbon_callbacks._training.state import TrainingState
from carbon_callbacks._training.totals import Figures, RankTotals, counted_twice
from carbon_callbacks._training.tracker import TrainingTracker


class RankSync:
    """Combines the totals of a training's ranks; with a single rank, its own totals.

    Args:
        tracker: Measures this rank.
        state: The state of the training.
    """

    def __init__(self, tracker: TrainingTracker, state: TrainingState) -> None:
        self._tracker, self._state = tracker, state
        self._exchange = RankExchange()
        self._logged: Figures = {}

    def join(self, name: str, kind: str, *, may_stop: bool) -> None:
        """Join the other ranks of a training that begins; returns at once.

        Args:
            name: The callback's name, the same on all ranks.
            kind: What begins, such as ``train``: ranks count the trainings of a kind.
            may_stop: Whether the training may be stopped.
        """
        if not self._exchange.open(name, kind, may_stop=may_stop):
            self._exchange.several = True
            self._tracker.warn(
                "torch.distributed is not initialised, so the other ranks cannot be reached: each "
                "rank logs its own totals, and a budget stops none of them"
            )

    def totals(self, at: str = "", *, max_age_s: float = 0.0) -> RankTotals:
        """Exchange totals with the other ranks; return those of all ranks, as far as received.

        Args:
            at: Which log this is, the same on all ranks; an empty string for none.
            max_age_s: How old a reading of the meters may be, in seconds.
        """
        own = self._own(max_age_s)
        self._exchange.exchange(own, at)
        return self._combined(own)

    def agreed(self, at: str, figures: Figures) -> Figures:
        """Return the metrics that all ranks log, in which no running total falls.

        Args:
            at: Which log this is, as for `totals`.
            figures: The metrics that this rank would log.
        """
        if not self._exchange.several:
            return figures
        figures = never_less(self._exchange.agreed(at, figures) if at else figures, self._logged)
        self._logged |= figures
        return figures

    def settle(self, at: str, *, closed: bool = False) -> None:
        """Exchange totals at a point that all ranks reach; waits for them a short time.

        Args:
            at: Which point this is.
            closed: Whether the training ends.
        """
        exchange = self._exchange
        if not exchange.several or exchange.finished:
            return
        exchange.settle(at, self._own, closed=closed)
        self.totals()
        if closed:
            self._warn_of_gpus_counted_twice()
            self._warn_of_unknown_ranks()
        if closed and exchange.missing:
            names = ", ".join(map(str, exchange.missing))
            self._tracker.warn(
                f"no final totals from rank {names}: it has no callback, or its training has not "
                "ended; its latest known totals are used"
            )

    def should_stop(self, step: int, *, wanted: bool) -> bool:
        """Return whether all ranks stop after this step.

        Args:
            step: Steps since the run began.
            wanted: Whether this rank should stop; rank 0 decides.
        """
        return self._exchange.should_stop(step, wanted=wanted)

    @property
    def decides(self) -> bool:
        """Whether this rank decides for all: rank 0, or a single one."""
        return self._exchange.rank == 0

    def close(self, *, completed: bool) -> None:
        """End the exchange.

        Args:
            completed: Whether all ranks end here, so that their final totals are waited for.
        """
        if completed:
            self.settle("closing", closed=True)
        elif self._exchange.several:
            self._exchange.leave(self._own())
        self._exchange.close()

    def _warn_of_gpus_counted_twice(self) -> None:
        """Warn where ranks could not divide the GPUs, as in containers with a network of their own."""
        twice = counted_twice([self._own(), *self._state.others])
        if twice:
            names = ", ".join(gpu.partition(":")[2] for gpu in twice)
            self._tracker.warn(
                f"several ranks count the same GPU: {names}; the totals are too high"
            )

    def _warn_of_unknown_ranks(self) -> None:
        """Warn where the totals of all ranks are without some: no meter of theirs gave a reading."""
        ranks = [self._own(), *self._state.others]
        unknown = sum(one.is_unknown for one in ranks)
        if unknown:
            self._tracker.warn(
                f"no meter of {unknown} of {len(ranks)} ranks gave a reading: totals are without them"
            )

    def _own(self, max_age_s: float = 0.0) -> RankTotals:
        running = self._tracker.running
        report = self._tracker.report(max_age_s=max_age_s) if running else None
        return self._state.own_totals(report)

    def _combined(self, own: RankTotals) -> RankTotals:
        combined = self._state.combine(own, self._exchange.others)
        others = [one.own for one in self._state.others if one.own is not None]
        if others:
            self._tracker.note_others(others)
        return combined
