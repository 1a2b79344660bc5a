"""Totals of the other ranks, exchanged without ever waiting for a rank that may not come.

No collective is used: one that a single rank does not enter would hang the training. Each rank posts
its totals in the key-value store of ``torch.distributed``, rank 0 collects and publishes them, and every
rank uses what it has received so far. At a log the ranks wait for one another a moment, which becomes
shorter where they do not log alike, and at the end for a short time. A thread of its own makes all
requests, so that a slow store delays nothing.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from carbon_callbacks._training.rank_client import FINAL_PATIENCE_S, PATIENCE_S, Answer, RankClient
from carbon_callbacks._training.totals import Figures, RankTotals

# A decision must reach every rank: only a store that is gone takes longer, and then the training ends.
_DECISION_PATIENCE_S = 10.0
_FIRST_MARGIN_STEPS = 2
_MAX_MARGIN_STEPS = 4096
_LEAST_PATIENCE_S = 0.001


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
        self._patience_s = PATIENCE_S
        self._margin = _FIRST_MARGIN_STEPS

    def open(self, name: str, kind: str, *, may_stop: bool = False) -> bool:
        """Join the other ranks of a training that begins; return at once.

        Args:
            name: The callback's name, the same on all ranks.
            kind: What begins, such as ``train``: ranks count the trainings of a kind.
            may_stop: Whether a budget may stop the training.

        Returns:
            Whether the other ranks can be reached.
        """
        distributed = _distributed()
        if distributed is None:
            return False
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
    def others(self) -> list[RankTotals]:
        """What the other ranks have measured, as far as it is known."""
        return self._client.others if self._client is not None else []

    def exchange(self, totals: RankTotals, at: str) -> None:
        """Post this rank's totals for a log, and learn those of the others that are there.

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
            self._wait(client.request(client.collect, at, self._patience_s))

    def agreed(self, at: str, figures: Figures) -> Figures:
        """Return what rank 0 logs, so that all ranks log the same; this rank's own if that is late.

        Args:
            at: Which log this is, as for `exchange`.
            figures: This rank's own figures.
        """
        client = self._client
        if client is None or self.finished:
            return figures
        if client.rank == 0:
            client.request(client.record, at, figures)
            return figures
        answer = self._wait(client.request(client.record_of, at, self._patience_s))
        return answer or figures

    def _wait(self, answer: Answer) -> Any:
        """Wait a moment for other ranks; less and less where they do not log what this one logs."""
        if self._patience_s < _LEAST_PATIENCE_S:
            return None
        known = answer.wait(self._patience_s) and answer.value
        self._patience_s = PATIENCE_S if known else self._patience_s / 2
        return known

    def should_stop(self, step: int, *, over_budget: bool) -> bool:
        """Return whether all ranks stop after this step; to be called at every step.

        Args:
            step: Steps so far; all ranks make the same number of them.
            over_budget: Whether this rank wants to stop.
        """
        client = self._client
        if client is None:
            return over_budget and not self.several
        client.step = step
        proposal = client.proposal
        if proposal is None:
            if over_budget and client.rank == 0:
                client.request(client.propose, step + self._margin)
            return False
        if step < proposal.step:
            return False
        answer = client.request(client.decide, proposal)
        stops = answer.wait(_DECISION_PATIENCE_S) and bool(answer.value)
        self._margin = min(_MAX_MARGIN_STEPS, 2 * self._margin)
        return stops

    def settle(self, at: str, read: Callable[[], RankTotals], *, closed: bool = False) -> None:
        """Exchange totals at a point that all ranks come to; waits for them a short time.

        Args:
            at: Which point this is.
            read: Returns this rank's totals, once the others are there.
            closed: Whether the training ends.
        """
        client = self._client
        if client is None or self.finished:
            return
        client.request(client.arrive, at).wait(2 * FINAL_PATIENCE_S)
        answer = client.request(client.settle, read().plain(), at, closed=closed)
        missing = answer.value if answer.wait(2 * FINAL_PATIENCE_S) else None
        self.finished = closed
        self.missing = client.other_ranks if missing is None else missing

    def leave(self, totals: RankTotals) -> None:
        """Post the totals of a rank that ends on its own, and wait for nobody."""
        client = self._client
        if client is not None and not self.finished:
            self.finished = True
            client.request(client.leave, totals.plain())

    def close(self) -> None:
        """End the thread; what was received stays known."""
        if self._client is not None:
            self._client.stop()


def _distributed() -> Any:
    """Return ``torch.distributed`` where the program has started several ranks with it."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed if distributed.get_world_size() > 1 else None
