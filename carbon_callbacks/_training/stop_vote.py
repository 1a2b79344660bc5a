"""The step at which all ranks stop, because the budget is exceeded or a metric improves too little.

Rank 0 proposes a step ahead of its own, and every rank that has not passed it acknowledges the proposal.
The first rank that reaches the step decides for all: to stop if all ranks have acknowledged.
"""

from __future__ import annotations

from typing import NamedTuple

from carbon_callbacks._training.rank_store import RankStore, wait_until

# A phase boundary may block the training thread this long at most.
DECISION_TIMEOUT_S = 0.05


class Proposal(NamedTuple):
    """A step at which all ranks may stop together."""

    number: int
    step: int


class StopVote:
    """The proposals of one training.

    Attributes:
        step: The step that the training thread has reached.
        proposal: The step at which all ranks may stop, if one is proposed.

    Args:
        world_size: How many ranks there are.
    """

    def __init__(self, world_size: int) -> None:
        self.step = 0
        self.proposal: Proposal | None = None
        self._world_size = world_size
        self._next = 0

    def propose(self, store: RankStore, step: int) -> None:
        """Propose a step, unless one is proposed already."""
        if self.proposal is None and self.step < step:
            store.write_first(f"stop/{self._next}/step", str(step))
            self.poll(store)

    def poll(self, store: RankStore) -> None:
        """Acknowledge a proposal of rank 0, if there is a new one."""
        key = f"stop/{self._next}"
        if self.proposal is not None or not store.has(f"{key}/step"):
            return
        step = int(store.text(f"{key}/step"))
        # Set before it is acknowledged: the training thread sets its step before it reads the proposal.
        self.proposal = Proposal(self._next, step)
        if self.step < step:
            store.add(f"{key}/acknowledged", 1)
        else:
            self._finish()

    def decide(self, store: RankStore, proposal: Proposal) -> bool:
        """Return whether all ranks stop at a proposed step; the first rank to call this decides."""
        key = f"stop/{proposal.number}"
        decided = f"{key}/decision"
        wait_until(
            lambda: store.has(decided) or self._all_acknowledged(store, key), DECISION_TIMEOUT_S
        )
        wish = "stop" if self._all_acknowledged(store, key) else "continue"
        decision = store.write_first(decided, wish)
        self._finish()
        return decision == "stop"

    def _all_acknowledged(self, store: RankStore, key: str) -> bool:
        return store.count(f"{key}/acknowledged") >= self._world_size

    def _finish(self) -> None:
        self._next += 1
        self.proposal = None
