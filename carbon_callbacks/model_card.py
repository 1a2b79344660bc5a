"""Emissions in a model card: the metadata at the head of a ``README.md``, as the Hub reads them."""

from __future__ import annotations

from carbon_core import write_card_entry as write_entry

__all__ = ["write_entry"]
