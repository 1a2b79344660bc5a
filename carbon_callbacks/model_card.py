"""Emissions in a model card: the metadata at the head of a ``README.md``, as the Hub reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEY = "co2_eq_emissions"


def write_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Write emissions to a model card, replacing earlier ones; nothing else changes.

    Args:
        path: The ``README.md`` of a model.
        entry: The value of ``co2_eq_emissions``.

    Raises:
        ImportError: huggingface_hub is not installed; it comes with transformers.
        OSError: The file cannot be read or written.
    """
    from huggingface_hub import ModelCard

    # The library handles other encodings and line ends of a card.
    card = ModelCard.load(path, ignore_metadata_errors=True)
    card.data[KEY] = dict(entry)
    card.save(path)
