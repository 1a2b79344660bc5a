"""`record`, `field` and `replace`: for type checkers those of `dataclasses`, else `shared_methods`."""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from dataclasses import dataclass as record
    from dataclasses import field, replace
else:
    from carbon_core.shared_methods import field, record, replace

__all__ = ["field", "record", "replace"]
