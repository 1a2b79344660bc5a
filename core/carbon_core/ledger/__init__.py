"""Running totals: joules by device. Pure, and of fixed size however long a run is.

One rule applies to counters and polled power alike: a reading adds a non-negative amount to what was
measured, or else the span since the last booking is missing and is extrapolated from the neighbouring
power. No total ever falls, so any two snapshots subtract to a sensible window.
"""

from carbon_core.ledger.account import Account, Silence
from carbon_core.ledger.ledger import Ledger
from carbon_core.ledger.opening import Opening

__all__ = ["Account", "Ledger", "Opening", "Silence"]
