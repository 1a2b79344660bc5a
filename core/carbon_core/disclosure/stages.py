"""The activities of a disclosure by stage of a model's lifecycle, as bills of materials group them."""

from __future__ import annotations

from typing import Any, NamedTuple

from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed, Group
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.text import activity_data, group_data
from carbon_core.outputs.receipt_reading import EVALUATION, TRAINING

FINE_TUNING = "fine-tuning"
STAGES = (TRAINING, FINE_TUNING, EVALUATION, INFERENCE)


class Stage(NamedTuple):
    """A stage with its activities and their total.

    Attributes:
        name: One of `STAGES`, or an empty string if unknown.
        group: The total.
        activities: The activities, also those without a known energy.
    """

    name: str
    group: Group
    activities: tuple[Activity, ...]

    @property
    def data(self) -> dict[str, Any]:
        """The total and all activities as JSON-ready data."""
        return {
            "stage": self.name or None,
            **group_data(self.group),
            "activities": [_published(one) for one in self.activities],
        }


def stages_of(disclosed: Disclosed, facts: Facts) -> list[Stage]:
    """Return the stages of a disclosure. There may be two of a name: that of runs of unknown kind.

    Args:
        disclosed: The runs.
        facts: What the user has given: ``training_type``, and ``run_kind`` for runs of unknown kind.
    """
    return [
        Stage(
            _name(kind, facts),
            group,
            tuple(one for one in disclosed.activities if one.kind == kind),
        )
        for kind, group in sorted(disclosed.by_kind.items(), key=lambda item: _order(item[0]))
    ]


def _published(activity: Activity) -> dict[str, Any]:
    """Return an activity for readers elsewhere: without the path of its file."""
    return {key: value for key, value in activity_data(activity).items() if key != "file"}


def _name(kind: str, facts: Facts) -> str:
    name = kind or facts.text("run_kind")
    return FINE_TUNING if name == TRAINING and facts.text("training_type") == FINE_TUNING else name


def _order(kind: str) -> int:
    return STAGES.index(kind) if kind in STAGES else len(STAGES)
