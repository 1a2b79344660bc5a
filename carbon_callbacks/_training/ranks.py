"""What the ranks of a training tell each other: the figures that add up, and whether to stop.

A collective that one rank does not enter would hang all others. So before the first one the ranks agree
over the key-value store that ``torch.distributed`` has anyway, in bounded time: a callback that only one
rank was given tells, and is told, nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta
from typing import Any

_PATIENCE = timedelta(seconds=3)
# How often each name has met in this process. The store outlives callbacks and keeps what was decided.
_meetings: Counter[str] = Counter()


class Ranks:
    """The ranks that run this callback, too.

    Attributes:
        agreed: Whether all of them do, so that each may wait for all.
        apart: Whether there are others of which this one knows nothing.
    """

    def __init__(self) -> None:
        self.agreed = self.apart = False

    def meet(self, name: str) -> bool:
        """Find out whether every rank of several has a callback of this name; tell whether it does.

        Takes as long as the ranks are apart, and `_PATIENCE` where one never comes.

        Args:
            name: The callback's name: the same on all ranks.
        """
        _meetings[name] += 1
        self.agreed, self.apart = False, True
        distributed = _distributed()
        if distributed is None:
            return False
        store = distributed.distributed_c10d._get_default_store()
        prefix = f"carbon_callbacks/{name}/{_meetings[name]}"
        keys = [f"{prefix}/{rank}" for rank in range(distributed.get_world_size())]
        store.set(keys[distributed.get_rank()], "here")
        try:
            store.wait(keys, _PATIENCE)
            vote = b"together"
        except Exception:  # noqa: BLE001 - a timeout, whose class differs between versions
            vote = b"apart"
        # The first to decide decides for all.
        self.agreed = store.compare_set(f"{prefix}/decision", "", vote.decode()) == b"together"
        self.apart = not self.agreed
        return self.agreed

    def gather(self, share: Any) -> list[Any]:
        """Return every rank's share, in their order; only this one's where there is no other.

        Every rank that agreed must come here.
        """
        distributed = _distributed() if self.agreed else None
        if distributed is None:
            return [share]
        shares: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(shares, share)
        return shares

    def any(self, decision: bool) -> bool:
        """Return whether any rank decides so; every rank that agreed must come here.

        Ranks that are apart decide nothing: one that stopped alone would hang the others.
        """
        return not self.apart and any(self.gather(decision))


def _distributed() -> Any:
    """Return ``torch.distributed`` where the program has started several ranks with it."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed if distributed.get_world_size() > 1 else None
