"""The thread that exchanges the totals of a training with the other ranks, over their store."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from carbon_callbacks._training.rank_store import RankStore, wait_until
from carbon_callbacks._training.stop_vote import Proposal, StopVote
from carbon_callbacks._training.totals import Figures, RankTotals
from carbon_core import LazyThread

# The end of a training may wait this long for other ranks that have the callback, too.
FINAL_TIMEOUT_S = 2.0
# How soon a proposal to stop is noticed.
_POLL_EVERY_S = 0.02
_KEPT_RECORDS = 64


class Result:
    """The result of a request, awaited by the training thread."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self.value: Any = None

    def set(self, value: Any) -> None:
        """Set the result."""
        self.value = value
        self._known.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the result; return whether it is set."""
        return self._known.wait(timeout_s)


class RankClient:
    """The thread that uses the store.

    Attributes:
        rank: This process's rank.
        world_size: How many ranks there are.
        others: The totals of the other ranks as last received.
        vote: The step at which all ranks may stop.

    Args:
        find_store: Returns the store of the process group.
        prefix: The training's name and kind, with which keys begin.
        rank: This process's rank.
        world_size: How many ranks there are.
        polls: Whether to poll for proposals while nothing is posted.
    """

    def __init__(
        self,
        find_store: Callable[[], Any],
        prefix: str,
        *,
        rank: int,
        world_size: int,
        polls: bool = False,
    ) -> None:
        self.rank, self.world_size = rank, world_size
        self.others: list[RankTotals] = []
        self.vote = StopVote(world_size)
        self._find_store, self._prefix, self._polls = find_store, prefix, polls
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = LazyThread(self._run, "carbon-ranks")
        self._store: Any = None
        self._ended = False
        self._broken = False
        self._published: dict[str, Any] = {}
        self._records: deque[str] = deque()

    @property
    def other_ranks(self) -> list[int]:
        """All ranks but this one."""
        return [rank for rank in range(self.world_size) if rank != self.rank]

    def start(self) -> bool:
        """Start the thread; return whether the system allowed it."""
        return self._thread.start()

    def end(self) -> None:
        """End the thread after what was requested."""
        self._requests.put(self._end)

    def stop(self) -> None:
        """End the thread after what was requested; wait for it a short time."""
        self.end()
        self._thread.join(FINAL_TIMEOUT_S)

    def request(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Result:
        """Have a method of this object called by the thread; return where its result will be."""
        result = Result()
        self._requests.put(lambda: result.set(self._try(act, *arguments, **options)))
        return result

    # --- on its own thread -----------------------------------------------------------------------

    def _run(self) -> None:
        self._try(self._join)
        while not self._ended:
            try:
                request = self._requests.get(timeout=_POLL_EVERY_S if self._polls else None)
            except queue.Empty:
                self._try(lambda: self.vote.poll(self._store))
            else:
                request()

    def _try(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function; a store that fails once is not used again."""
        if self._broken:
            return None
        try:
            return act(*arguments, **options)
        except Exception:  # noqa: BLE001 - the guard of this thread; errors of stores have no common class
            self._broken = True
            return None

    def _join(self) -> None:
        self._store = RankStore(self._find_store(), self._prefix, self.rank)

    def _end(self) -> None:
        self._ended = True

    def post(self, totals: dict[str, Any], at: str, *, final: bool = False) -> None:
        """Post the totals of this rank.

        Args:
            totals: The totals, as plain types.
            at: The log that they are for, the same on all ranks; an empty string for none.
            final: Whether no others follow.
        """
        self._store.write(f"rank/{self.rank}", {"final": final, "totals": totals})
        if at:
            self._store.add(f"posted/{at}", 1)

    def collect(self, at: str, timeout_s: float, *, closed: bool = False) -> bool:
        """Publish what all ranks have posted; on rank 0.

        Args:
            at: The log that they are expected to post for.
            timeout_s: How long to wait for them, in seconds.
            closed: Whether the training ends.

        Returns:
            Whether all have posted for it.
        """
        complete: bool = self._store.wait_for_all(f"posted/{at}", timeout_s)
        posted = {rank: self._store.read(f"rank/{rank}") for rank in range(self.world_size)}
        self._published = {
            "at": at,
            "closed": closed,
            "missing": [rank for rank, one in posted.items() if closed and not one.get("final")],
            "ranks": {
                str(rank): one["totals"]
                for rank, one in posted.items()
                if one and _measured(one["totals"])
            },
        }
        self._store.write("published", self._published)
        self._take()
        return complete

    def receive(self, at: str = "", timeout_s: float = 0.0) -> None:
        """Receive what rank 0 has published.

        Args:
            at: The log for which it is expected to publish.
            timeout_s: How long to wait for it, in seconds.
        """

        def is_published() -> bool:
            self._published = self._store.read("published")
            return bool(self._published.get("closed") or self._published.get("at") == at)

        wait_until(is_published, timeout_s)
        self._take()

    def _take(self) -> None:
        ranks = self._published.get("ranks", {})
        self.others = [
            RankTotals.of_plain(totals) for rank, totals in ranks.items() if int(rank) != self.rank
        ]

    def record(self, at: str, figures: Figures) -> None:
        """Write the metrics that rank 0 logs, for the other ranks."""
        self._store.write(f"log/{at}", figures)
        self._records.append(at)
        if len(self._records) > _KEPT_RECORDS:
            oldest = self._records.popleft()
            for kind in ("log", "posted"):
                self._store.delete(f"{kind}/{oldest}")

    def record_of(self, at: str, timeout_s: float) -> Figures | None:
        """Return the metrics that rank 0 has logged; None if it does not log them in time."""
        wait_until(lambda: self._store.has(f"log/{at}"), timeout_s)
        figures: Figures = self._store.read(f"log/{at}")
        return figures or None

    def arrive(self, at: str) -> bool:
        """Wait a short time for all ranks to reach the same point; return whether they did."""
        self._store.add(f"arrived/{at}", 1)
        reached: bool = self._store.wait_for_all(f"arrived/{at}", FINAL_TIMEOUT_S)
        return reached

    def settle(self, totals: dict[str, Any], at: str, *, closed: bool) -> list[int]:
        """Exchange totals with all ranks, waiting a short time for them.

        Returns:
            The ranks whose final totals are not known, if the training ends.
        """
        self.post(totals, at, final=closed)
        if self.rank == 0:
            self.collect(at, FINAL_TIMEOUT_S, closed=closed)
        elif self._store.read("rank/0"):
            self.receive(at, FINAL_TIMEOUT_S)
        else:
            return [0]
        if closed and not self._published.get("closed"):
            return [0]
        return list(self._published.get("missing", ()))

    def leave(self, totals: dict[str, Any]) -> None:
        """Post the final totals of a rank that ends on its own."""
        self.post(totals, "", final=True)
        self._store.add("present", -1)
        if self.rank == 0:
            self.collect("", 0.0, closed=True)

    def propose_stop(self, step: int) -> None:
        """Propose a step at which all ranks may stop."""
        self.vote.propose(self._store, step)

    def decide_stop(self, proposal: Proposal) -> bool:
        """Return whether all ranks stop at a proposed step."""
        return self.vote.decide(self._store, proposal)


def _measured(totals: dict[str, Any] | None) -> bool:
    return bool(totals and (totals["totals"] or totals["earlier"]))
