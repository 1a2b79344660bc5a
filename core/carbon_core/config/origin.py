"""Where a value came from, and how far that source is trusted."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        source: ``default``, ``file``, ``environment`` or ``argument``.
        place: The file and line or the variable, in words.
        trust: Rank among the sources; a secret goes to no address that a lower one names.
        overrode: Where lower sources have a value of the same key, the highest first.
    """

    source: str
    place: str = ""
    trust: int = field(default=0, compare=False)
    overrode: tuple[Origin, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.source} {self.place}".strip() if self.source != "file" else self.place

    @property
    def history(self) -> str:
        """The place, and those that it overrode, in words."""
        if not self.overrode:
            return str(self)
        return f"{self} (over {', '.join(map(str, self.overrode))})"


LOCAL_TRUST, HOME_TRUST, ENVIRONMENT_TRUST = range(3)
ARGUMENT = Origin("argument", trust=3)
DEFAULT = Origin("default", trust=4)
