"""Exchange of totals between ranks, which never blocks on a rank that does not take part.

No collective is used: one that a single rank does not enter would hang the training. Each rank posts
its totals in the key-value store of ``torch.distributed``, rank 0 collects and publishes them, and every
rank uses what it has received so far. At a log the ranks wait for each other 50 ms at most, and less if
they log at different points; at the end two seconds. A separate thread makes all requests, so that a
slow store delays nothing.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carbon_callbacks._training.rank_client import RankClient, Result
    from carbon_callbacks._training.totals import Figures, RankTotals

# A phase boundary may block the training thread this long at most.
_LOG_TIMEOUT_S = 0.05
# Every rank must receive a decision. Only a failed store takes longer; then the training ends anyway.
_DECISION_TIMEOUT_S = 10.0
_FIRST_MARGIN_STEPS = 2
_MAX_MARGIN_STEPS = 4096
_LEAST_TIMEOUT_S = 0.001


class RankExchange:
    """Exchanges the totals of a training's ranks; does nothing where there is a single rank.

    Attributes:
        several: Whether there are other ranks.
        finished: Whether the final totals were posted.
        missing: The ranks whose final totals are not known, once the training has ended.
    """

    def __init__(self) -> None:
        self.several = False
        self.finished = False
        self.missing: Sequence[int] = ()
        self._client: RankClient | None = None
        self._timeout_s = _LOG_TIMEOUT_S
        self._margin = _FIRST_MARGIN_STEPS

    def open(self, name: str, kind: str, *, may_stop: bool = False) -> bool:
        """Join the other ranks of a training that begins; return at once.

        Args:
            name: The callback's name, the same on all ranks.
            kind: What begins, such as ``train``: ranks count the trainings of a kind.
            may_stop: Whether the training may be stopped.

        Returns:
            Whether the other ranks can be reached.
        """
        distributed = _distributed()
        if distributed is None:
            return False
        from carbon_callbacks._training.rank_client import RankClient

        key = f"carbon_callbacks/{name}/{kind}"
        self.several = True
        client = RankClient(
            distributed.distributed_c10d._get_default_store,
            key,
            rank=distributed.get_rank(),
            world_size=distributed.get_world_size(),
            polls=may_stop,
        )
        if client.start():
            self._client = client
            weakref.finalize(self, client.end)
        return self._client is not None

    @property
    def rank(self) -> int:
        """This process's rank; 0 where the others cannot be reached."""
        return self._client.rank if self._client is not None else 0

    @property
    def others(self) -> list[RankTotals]:
        """The totals of the other ranks, as far as received."""
        return self._client.others if self._client is not None else []

    def exchange(self, totals: RankTotals, at: str) -> None:
        """Post this rank's totals for a log, and receive those that others have posted.

        Args:
            totals: This rank's totals.
            at: Which log this is, the same on all ranks; an empty string for none.
        """
        client = self._client
        if client is None or self.finished:
            return
        client.request(client.post, totals.plain(), at)
        if client.rank != 0:
            client.request(client.receive)
        elif at:
            self._wait(client.request(client.collect, at, self._timeout_s))

    def agreed(self, at: str, figures: Figures) -> Figures:
        """Return the metrics of rank 0, so that all ranks log the same; this rank's own on timeout.

        Args:
            at: Which log this is, as for `exchange`.
            figures: The metrics of this rank.
        """
        client = self._client
        if client is None or self.finished:
            return figures
        if client.rank == 0:
            client.request(client.record, at, figures)
            return figures
        result = self._wait(client.request(client.record_of, at, self._timeout_s))
        return result or figures

    def _wait(self, result: Result) -> Any:
        """Wait a short time for other ranks; shorter each time that they do not log at this point."""
        if self._timeout_s < _LEAST_TIMEOUT_S:
            return None
        known = result.wait(self._timeout_s) and result.value
        self._timeout_s = _LOG_TIMEOUT_S if known else self._timeout_s / 2
        return known

    def should_stop(self, step: int, *, wanted: bool) -> bool:
        """Return whether all ranks stop after this step; to be called at every step.

        Args:
            step: Steps so far; all ranks make the same number of them.
            wanted: Whether this rank should stop, because its budget is exceeded or the like.
        """
        client = self._client
        if client is None:
            return wanted and not self.several
        client.vote.step = step
        proposal = client.vote.proposal
        if proposal is None:
            if wanted and client.rank == 0:
                client.request(client.propose_stop, step + self._margin)
            return False
        if step < proposal.step:
            return False
        result = client.request(client.decide_stop, proposal)
        stops = result.wait(_DECISION_TIMEOUT_S) and bool(result.value)
        self._margin = min(_MAX_MARGIN_STEPS, 2 * self._margin)
        return stops

    def settle(self, at: str, read: Callable[[], RankTotals], *, closed: bool = False) -> None:
        """Exchange totals at a point that all ranks reach; waits for them a short time.

        Args:
            at: Which point this is.
            read: Returns this rank's totals, once the others have reached the point.
            closed: Whether the training ends.
        """
        client = self._client
        if client is None or self.finished:
            return
        from carbon_callbacks._training.rank_client import FINAL_TIMEOUT_S

        client.request(client.arrive, at).wait(2 * FINAL_TIMEOUT_S)
        result = client.request(client.settle, read().plain(), at, closed=closed)
        missing = result.value if result.wait(2 * FINAL_TIMEOUT_S) else None
        self.finished = closed
        self.missing = client.other_ranks if missing is None else missing

    def leave(self, totals: RankTotals) -> None:
        """Post the totals of a rank that ends on its own, without waiting."""
        client = self._client
        if client is not None and not self.finished:
            self.finished = True
            client.request(client.leave, totals.plain())

    def close(self) -> None:
        """End the thread; what was received stays available."""
        if self._client is not None:
            self._client.stop()


def _distributed() -> Any:
    """Return ``torch.distributed`` where the program has started several ranks with it."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed if distributed.get_world_size() > 1 else None
