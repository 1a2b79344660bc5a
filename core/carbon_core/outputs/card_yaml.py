"""Compares the metadata of a model card before and after an edit, by the events of a YAML parser.

No object is made of them: aliases within aliases, which multiply, cost as much as their text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from carbon_core.errors import OutputError

# The events that matter, and how each changes the depth.
_DOCUMENT = 2
_KINDS = {
    "DocumentStartEvent": _DOCUMENT,
    "ScalarEvent": 0,
    "AliasEvent": 0,
    "MappingStartEvent": 1,
    "SequenceStartEvent": 1,
    "MappingEndEvent": -1,
    "SequenceEndEvent": -1,
}
# The Hub's own have four or five.
_MOST_LEVELS = 100
_LONGEST_REASON = 200


class Metadata(NamedTuple):
    """The top level of a block of metadata.

    Attributes:
        times: How often it has the key.
        others: A hash of all that is not the value of the key.
        is_shared: Whether other metadata refer to a part of that value by an alias.
    """

    times: int
    others: int
    is_shared: bool


def metadata_of(text: str, key: str, lines_above: int) -> Metadata | None:
    """Return the top level of metadata; None if PyYAML is absent, which programs for model cards have.

    Args:
        text: The YAML text.
        key: The key that may change.
        lines_above: Number of lines above the text, for messages.

    Raises:
        OutputError: It is not YAML, or not of the form ``key: value``.
    """
    try:
        import yaml
    except ImportError:
        return None
    # The loader of libyaml is faster by far; either keeps a scalar as text and makes no objects.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    reader = _Reader(key)
    try:
        text.encode("utf-8")
        for event in yaml.parse(text, Loader=loader):
            reader.feed(event)
    except UnicodeEncodeError:
        raise OutputError("its metadata are not UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OutputError(f"its metadata are not YAML: {_reason(error, lines_above)}") from error
    return reader.result()


class _Reader:
    """Receives the events of a document; the depth separates the nodes of its top level."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._depth = 0
        self._documents = 0
        self._count = 0
        self._others = 0
        self._at_value = False  # whether the next node of the top level is a value
        self._of_key = False  # whether the present pair is that of the key
        self._anchors: set[str] = set()
        self._anchors_of_value: set[str] = set()
        self._is_shared = False

    def feed(self, event: Any) -> None:
        """Receive an event.

        Raises:
            OutputError: The document is not a mapping, or nested too deeply.
            ValueError: It is not YAML.
        """
        kind = _KINDS.get(type(event).__name__)
        if kind is None:
            return
        if kind == _DOCUMENT:
            self._document()
        elif self._depth == 0:
            self._root(event, kind)
        else:
            self._node(event, kind)

    def result(self) -> Metadata:
        """Return what was received."""
        return Metadata(self._count, self._others, self._is_shared)

    def _document(self) -> None:
        self._documents += 1
        if self._documents > 1:
            raise OutputError("its metadata are more than one YAML document")

    def _root(self, event: Any, kind: int) -> None:
        is_mapping = type(event).__name__ == "MappingStartEvent"
        if not is_mapping and getattr(event, "value", None) != "":
            raise OutputError("its metadata are not YAML of the form key: value")
        self._depth += kind

    def _node(self, event: Any, kind: int) -> None:
        """Receive a part of a key or value, or the end of the top level."""
        depth = self._depth
        self._depth = depth + kind
        if self._depth == 0:
            return
        if self._depth > _MOST_LEVELS:
            raise OutputError(f"its metadata have more than {_MOST_LEVELS} levels")
        value = getattr(event, "value", None)
        anchor = getattr(event, "anchor", None)
        if depth == 1 and not self._at_value:
            self._of_key = value == self._key
            self._count += self._of_key
        if anchor is not None:
            self._reference(anchor, is_alias=type(event).__name__ == "AliasEvent")
        if not self._of_key:
            tag, implicit = getattr(event, "tag", None), getattr(event, "implicit", None)
            # Python's hash of texts is keyed by a random number: no input can aim at it.
            one = (type(event).__name__, value, anchor, tag, implicit)
            self._others = hash((self._others, one))
        if self._depth == 1:
            self._at_value = not self._at_value

    def _reference(self, anchor: str, *, is_alias: bool) -> None:
        if not is_alias:
            self._anchors.add(anchor)
            if self._of_key:
                self._anchors_of_value.add(anchor)
        elif anchor not in self._anchors:
            raise ValueError(f"undefined alias {anchor}")
        elif not self._of_key:
            self._is_shared = self._is_shared or anchor in self._anchors_of_value


def _reason(error: Exception, lines_above: int) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    # libyaml has other words for the most common mistake.
    problem = str(problem).replace("in this context", "here")[:_LONGEST_REASON]
    return f"{problem} (line {lines_above + mark.line + 1})" if mark is not None else problem
