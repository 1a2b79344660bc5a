"""The source of a setting's value, and its level of trust."""

from __future__ import annotations

from carbon_core.record import field, record


@record(frozen=True)
class Origin:
    """The source of a value.

    Attributes:
        source: ``default``, ``file``, ``environment`` or ``argument``.
        place: The file and line, or the name of the variable.
        trust: Level of trust; a secret is not sent to an address from a less trusted source.
        overrode: Lower sources that have a value of the same key, the highest first.
    """

    source: str
    place: str = ""
    trust: int = field(default=0, compare=False)
    overrode: tuple[Origin, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.source} {self.place}".strip() if self.source != "file" else self.place

    @property
    def history(self) -> str:
        """The source and those that it overrode, as text."""
        if not self.overrode:
            return str(self)
        return f"{self} (over {', '.join(map(str, self.overrode))})"


LOCAL_TRUST, HOME_TRUST, ENVIRONMENT_TRUST = range(3)
ARGUMENT = Origin("argument", trust=3)
DEFAULT = Origin("default", trust=4)
