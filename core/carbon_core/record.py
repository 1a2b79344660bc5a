"""Records: for type checkers the dataclasses of Python, at run time those of `shared_methods`."""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from dataclasses import asdict, field, replace
    from dataclasses import dataclass as record
else:
    from carbon_core.shared_methods import asdict, field, record, replace

__all__ = ["asdict", "field", "record", "replace"]
