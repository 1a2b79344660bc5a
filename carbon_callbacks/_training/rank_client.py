"""The thread that exchanges a training's totals with the other ranks, over their key-value store.

Keys begin with the training's: ``present`` counts the ranks that have the callback, ``rank/R`` is what
rank R posted, ``posted/AT`` and ``arrived/AT`` count the ranks at a log, ``published`` is what rank 0
has collected, ``log/AT`` what it logged, ``stop/N/...`` the Nth proposal to stop.

A budget stops all ranks at the same step: rank 0 proposes a step that lies ahead, every rank that has
not passed it acknowledges, and the first rank to reach it decides: to stop if all have acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from carbon_callbacks._training.totals import Figures, RankTotals
from carbon_core import LazyThread, SystemClock

# A phase boundary may cost the training thread this much at worst.
PATIENCE_S = 0.05
# The end of a training may wait this long for other ranks that have the callback, too.
FINAL_PATIENCE_S = 2.0
_REQUEST_TIMEOUT = timedelta(seconds=5)
_POLL_S = 0.001
# How soon a proposal to stop is seen.
_LOOK_EVERY_S = 0.02
_KEPT_RECORDS = 64
# How many trainings of a name and kind this process has begun. The store outlives them.
_begun: Counter[str] = Counter()


class Proposal(NamedTuple):
    """A step at which all ranks may stop together."""

    number: int
    step: int


class Answer:
    """The answer to a request, awaited by the training thread."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self.value: Any = None

    def give(self, value: Any) -> None:
        """Set the answer."""
        self.value = value
        self._known.set()

    def wait(self, patience_s: float) -> bool:
        """Wait for the answer; return whether it came."""
        return self._known.wait(patience_s)


class RankClient:
    """The thread that talks to the store.

    Attributes:
        rank: This process's rank.
        world_size: How many ranks there are.
        others: The other ranks' totals as received last.
        step: The step that the training thread has reached.
        proposal: The step at which all ranks may stop, if one is proposed.

    Args:
        find_store: Returns the store of the process group.
        prefix: Begin of the keys.
        rank: This process's rank.
        world_size: How many ranks there are.
        polls: Whether to look for proposals while nothing is posted.
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
        self.step = 0
        self.proposal: Proposal | None = None
        self._find_store, self._prefix, self._polls = find_store, prefix, polls
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = LazyThread(self._run, "carbon-ranks")
        self._store: Any = None
        self._ended = False
        self._broken = False
        self._own = ""
        self._published: dict[str, Any] = {}
        self._next_proposal = 0
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
        """End the thread after what was requested; wait for it a moment."""
        self.end()
        self._thread.join(FINAL_PATIENCE_S)

    def request(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Answer:
        """Have a method of this object called by the thread; return where its result will be."""
        answer = Answer()
        self._requests.put(lambda: answer.give(self._try(act, *arguments, **options)))
        return answer

    # --- on its own thread -----------------------------------------------------------------------

    def _run(self) -> None:
        self._try(self._join)
        while not self._ended:
            try:
                request = self._requests.get(timeout=_LOOK_EVERY_S if self._polls else None)
            except queue.Empty:
                self._try(self._look_for_proposal)
            else:
                request()

    def _try(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do something; a store that fails once is not used any more."""
        if self._broken:
            return None
        try:
            return act(*arguments, **options)
        except Exception:  # noqa: BLE001 - the guard of this thread; errors of stores have no common class
            self._broken = True
            return None

    def _join(self) -> None:
        store = self._find_store()
        # Requests of ours must not wait for the framework's, nor theirs for ours.
        self._store = store.clone() if hasattr(store, "clone") else store
        self._store.set_timeout(_REQUEST_TIMEOUT)
        while True:
            _begun[self._prefix] += 1
            self._own = f"{self._prefix}/{_begun[self._prefix]}"
            # A training that rank 0 has ended already is not the one that begins here.
            if not self._read("published").get("closed"):
                break
        self._write(f"rank/{self.rank}", {"final": False, "totals": None})
        self._store.add(f"{self._own}/present", 1)

    def _end(self) -> None:
        self._ended = True

    def post(self, totals: dict[str, Any], at: str, *, final: bool = False) -> None:
        """Post this rank's totals.

        Args:
            totals: The totals, as plain types.
            at: The log that they are for, the same on all ranks; an empty string for none.
            final: Whether no others follow.
        """
        self._write(f"rank/{self.rank}", {"final": final, "totals": totals})
        if at:
            self._store.add(f"{self._own}/posted/{at}", 1)

    def collect(self, at: str, patience_s: float, *, closed: bool = False) -> bool:
        """Publish what all ranks have posted; on rank 0.

        Args:
            at: The log that they are expected to post for.
            patience_s: How many seconds later ones may come.
            closed: Whether the training ends.

        Returns:
            Whether all have posted for it.
        """
        complete = self._await(f"posted/{at}", patience_s)
        posted = {rank: self._read(f"rank/{rank}") for rank in range(self.world_size)}
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
        self._write("published", self._published)
        self._take()
        return complete

    def receive(self, at: str = "", patience_s: float = 0.0) -> None:
        """Take what rank 0 has published.

        Args:
            at: The log for which it is expected to.
            patience_s: How many seconds later it may come.
        """
        deadline_s = _now_s() + patience_s
        while True:
            self._published = self._read("published")
            done = self._published.get("closed") or self._published.get("at") == at
            if done or _now_s() >= deadline_s:
                break
            _pause(_POLL_S)
        self._take()

    def _take(self) -> None:
        ranks = self._published.get("ranks", {})
        self.others = [
            RankTotals.of_plain(totals) for rank, totals in ranks.items() if int(rank) != self.rank
        ]

    def record(self, at: str, figures: Figures) -> None:
        """Keep what rank 0 logs for the other ranks."""
        self._write(f"log/{at}", figures)
        self._records.append(at)
        if len(self._records) > _KEPT_RECORDS:
            oldest = self._records.popleft()
            with contextlib.suppress(Exception):  # a store in a file cannot delete anything
                for kind in ("log", "posted"):
                    self._store.delete_key(f"{self._own}/{kind}/{oldest}")

    def record_of(self, at: str, patience_s: float) -> Figures | None:
        """Return what rank 0 has logged; None if it does not log that within some seconds."""
        deadline_s = _now_s() + patience_s
        while _now_s() < deadline_s:
            figures: Figures = self._read(f"log/{at}")
            if figures:
                return figures
            _pause(_POLL_S)
        return None

    def arrive(self, at: str) -> bool:
        """Wait a short time for all ranks to come to the same point; return whether they did."""
        self._store.add(f"{self._own}/arrived/{at}", 1)
        return self._await(f"arrived/{at}", FINAL_PATIENCE_S)

    def settle(self, totals: dict[str, Any], at: str, *, closed: bool) -> list[int]:
        """Exchange totals with all ranks, waiting a short time for them.

        Returns:
            The ranks whose final totals are not known, if the training ends.
        """
        self.post(totals, at, final=closed)
        if self.rank == 0:
            self.collect(at, FINAL_PATIENCE_S, closed=closed)
        elif self._read("rank/0"):
            self.receive(at, FINAL_PATIENCE_S)
        else:
            return [0]
        if closed and not self._published.get("closed"):
            return [0]
        return list(self._published.get("missing", ()))

    def leave(self, totals: dict[str, Any]) -> None:
        """Post the final totals of a rank that ends on its own."""
        self.post(totals, "", final=True)
        self._store.add(f"{self._own}/present", -1)
        if self.rank == 0:
            self.collect("", 0.0, closed=True)

    # --- the step at which all stop ---

    def propose(self, step: int) -> None:
        """Propose a step at which all ranks may stop, unless one is proposed already."""
        if self.proposal is None and self.step < step:
            key = f"{self._own}/stop/{self._next_proposal}/step"
            self._store.compare_set(key, "", str(step))
            self._look_for_proposal()

    def _look_for_proposal(self) -> None:
        key = f"{self._own}/stop/{self._next_proposal}"
        if self.proposal is not None or not self._store.check([f"{key}/step"]):
            return
        step = int(self._store.get(f"{key}/step"))
        # First known, then acknowledged: the training thread sets its step before it looks.
        self.proposal = Proposal(self._next_proposal, step)
        if self.step < step:
            self._store.add(f"{key}/acknowledged", 1)
        else:
            self._pass_on()

    def decide(self, proposal: Proposal) -> bool:
        """Return what all ranks do at a proposed step: the first to arrive decides."""
        key = f"{self._own}/stop/{proposal.number}"
        decided = f"{key}/decision"
        deadline_s = _now_s() + PATIENCE_S
        while not (self._store.check([decided]) or self._all_acknowledged(key)):
            if _now_s() >= deadline_s:
                break
            _pause(_POLL_S)
        wish = "stop" if self._all_acknowledged(key) else "continue"
        decision = bytes(self._store.compare_set(decided, "", wish))
        self._pass_on()
        return decision == b"stop"

    def _all_acknowledged(self, key: str) -> bool:
        return int(self._store.add(f"{key}/acknowledged", 0)) >= self.world_size

    def _pass_on(self) -> None:
        self._next_proposal += 1
        self.proposal = None

    # --- the store ---

    def _write(self, key: str, value: Any) -> None:
        self._store.set(f"{self._own}/{key}", json.dumps(value))

    def _read(self, key: str) -> Any:
        """Return a value; an empty one where nothing was written. Never waits for it."""
        full = f"{self._own}/{key}"
        return json.loads(self._store.get(full)) if self._store.check([full]) else {}

    def _await(self, counter: str, patience_s: float) -> bool:
        """Wait until as many ranks have counted as have the callback; return whether they did."""
        deadline_s = _now_s() + patience_s
        while not self._count(counter) >= self._count("present"):
            if _now_s() >= deadline_s:
                return False
            _pause(_POLL_S)
        return True

    def _count(self, counter: str) -> int:
        return int(self._store.add(f"{self._own}/{counter}", 0))


def _measured(totals: dict[str, Any] | None) -> bool:
    return bool(totals and (totals["totals"] or totals["earlier"]))


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _now_s() -> float:
    return SystemClock.monotonic_ns() / 1e9
