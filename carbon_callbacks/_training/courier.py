"""The thread that exchanges a training's totals with the other ranks, over their key-value store.

Keys begin with the training's: ``rank/R`` is what rank R posted, ``published`` what rank 0 has
collected, ``log/AT`` what rank 0 logged, ``stop/N/...`` the Nth proposal to stop.

A budget stops all ranks at the same step: rank 0 proposes a step that lies ahead, every rank that has
not passed it acknowledges, and the first rank to reach it decides: to stop if all have acknowledged.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from carbon_callbacks._training.metrics import Figures, RankTotals
from carbon_core.clock import SystemClock
from carbon_core.threads import LazyThread

# A phase boundary may cost the training thread this much at worst.
PATIENCE_S = 0.05
# The end of a training may wait this long for other ranks that have the callback, too.
FINAL_PATIENCE_S = 2.0
_REQUEST_TIMEOUT = timedelta(seconds=5)
_POLL_S = 0.02
_POLL_FINAL_S = 0.005
_POLL_RECORD_S = 0.001
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


class Courier:
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

    def request(self, act: Callable[..., Any], *arguments: Any) -> Answer:
        """Have a method of this object called by the thread; return where its result will be."""
        answer = Answer()
        self._requests.put(lambda: answer.give(self._try(act, *arguments)))
        return answer

    # --- on its own thread -----------------------------------------------------------------------

    def _run(self) -> None:
        self._try(self._join)
        while not self._ended:
            try:
                request = self._requests.get(timeout=_POLL_S if self._polls else None)
            except queue.Empty:
                self._try(self._look_for_proposal)
            else:
                request()

    def _try(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Do something; a store that fails once is not used any more."""
        if self._broken:
            return None
        try:
            return act(*arguments)
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

    def _end(self) -> None:
        self._ended = True

    def post(self, totals: dict[str, Any], at: str, figures: Figures | None) -> None:
        """Post this rank's totals; on rank 0 what it logs, too, and what all have posted."""
        self._write(f"rank/{self.rank}", {"final": False, "totals": totals})
        if self.rank == 0:
            if at and figures is not None:
                self._record(f"log/{at}", figures)
            if self._requests.empty():  # else the next post publishes more
                self._publish()
        else:
            self._receive()

    def _record(self, key: str, figures: Figures) -> None:
        self._write(key, figures)
        self._records.append(key)
        if len(self._records) > _KEPT_RECORDS:
            self._store.delete_key(f"{self._own}/{self._records.popleft()}")

    def record_of(self, at: str, patience_s: float) -> Figures | None:
        """Return what rank 0 has logged; None if it does not log that within some seconds."""
        deadline_s = _now_s() + patience_s
        while _now_s() < deadline_s:
            figures: Figures = self._read(f"log/{at}")
            if figures:
                return figures
            _pause(_POLL_RECORD_S)
        return None

    def _publish(self, *, closed: bool = False, missing: Sequence[int] = ()) -> None:
        """Collect what the other ranks have posted, and publish it with this rank's."""
        self._published = {
            "closed": closed,
            "missing": list(missing),
            "ranks": {
                str(rank): posted["totals"]
                for rank in range(self.world_size)
                if (posted := self._read(f"rank/{rank}")) and _measured(posted["totals"])
            },
        }
        self._write("published", self._published)
        self._take(self._published)

    def _receive(self) -> None:
        self._take(self._read("published"))

    def _take(self, published: dict[str, Any]) -> None:
        ranks = published.get("ranks", {})
        self.others = [
            RankTotals.of_plain(totals)
            for rank, totals in ranks.items()
            if int(rank) != self.rank and totals
        ]

    def finish(self, totals: dict[str, Any]) -> list[int]:
        """Post the final totals, wait for the others', and return the ranks without any."""
        self._write(f"rank/{self.rank}", {"final": True, "totals": totals})
        deadline_s = _now_s() + FINAL_PATIENCE_S
        if self.rank == 0:
            self._await(deadline_s, lambda: not self._open_ranks())
            missing = [*self._open_ranks(), *self._absent_ranks()]
            self._publish(closed=True, missing=sorted(missing))
            return self._missing()
        if not self._read("rank/0"):
            return [0]
        self._await(deadline_s, lambda: self._read("published").get("closed"))
        self._published = self._read("published")
        self._take(self._published)
        return self._missing() if self._published.get("closed") else [0]

    def leave(self, totals: dict[str, Any]) -> None:
        """Post the final totals of a rank that ends on its own."""
        self._write(f"rank/{self.rank}", {"final": True, "totals": totals})
        if self.rank == 0:
            self._publish(closed=True, missing=self._absent_ranks())

    def _missing(self) -> list[int]:
        return list(self._published["missing"])

    def _absent_ranks(self) -> list[int]:
        return [rank for rank in range(self.world_size) if not self._read(f"rank/{rank}")]

    def _open_ranks(self) -> list[int]:
        """Return the ranks that have the callback and have not posted their final totals."""
        posted = {rank: self._read(f"rank/{rank}") for rank in range(self.world_size)}
        return [rank for rank, one in posted.items() if one and not one["final"]]

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
        self._await(
            _now_s() + PATIENCE_S,
            lambda: self._store.check([decided]) or self._all_acknowledged(key),
        )
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

    def _await(self, deadline_s: float, holds: Callable[[], Any]) -> None:
        while not holds() and _now_s() < deadline_s:
            _pause(_POLL_FINAL_S)


def _measured(totals: dict[str, Any] | None) -> bool:
    return bool(totals and (totals["totals"] or totals["earlier"]))


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _now_s() -> float:
    return SystemClock.monotonic_ns() / 1e9
