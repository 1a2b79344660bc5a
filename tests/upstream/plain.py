"""Nested values as flat text that can be compared: a name for each leaf, and what it is."""

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

_CHANGING = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x"),
    (re.compile(r"\b\d+(\.\d+)?(e-?\d+)? ?(?=(s|sec|seconds|ms|us|it/s|MB|GB)\b)"), "N "),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
)
_FEW = 16


def normal(text: str) -> str:
    """Return text without addresses and times."""
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return text


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each leaf of a nested value: its name, and its content as text."""
    parts: list[tuple[Any, Any]] | None = None
    if isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, (set, frozenset)):
        parts = list(enumerate(sorted(value, key=repr)))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = list(zip(value._fields, value))
    elif isinstance(value, (list, tuple)):
        parts = list(enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [(one.name, getattr(value, one.name)) for one in fields(value)]
    if parts is None:
        yield name, _leaf(value)
        return
    for key, part in parts:
        yield from flat(part, f"{name}/{key}" if name else str(key))


def _leaf(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, bytes, Enum)):
        return repr(value)
    if isinstance(value, (str, Path)):
        return normal(str(value))
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, BaseException):
        return normal(f"{type(value).__qualname__}{value.args}")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "__array__"):
        return _array(np.asarray(value))
    return type(value).__qualname__


def _array(array: Any) -> str:
    """Return an array's type, shape and bits; a small one's values, too."""
    digest = hashlib.sha1(array.tobytes()).hexdigest()[:12]
    shown = f" {array.tolist()}" if array.size <= _FEW else ""
    return f"{array.dtype}{list(array.shape)} {digest}{shown}"


def entries_of_csv(path: Path) -> list[tuple[dict[str, str], Any]]:
    """Return the rows of a CSV file as log entries, without the cells that are empty."""
    with path.open(newline="") as file:
        rows = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file)]
    return [(row, row.get("step")) for row in rows]
