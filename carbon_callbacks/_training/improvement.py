"""Energy for each unit by which a metric has improved, and whether it still improves enough."""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from carbon_core import ConfigError, energy, formatted

_MOST_NAMES = 10
# A validation may be rarer than an epoch; a name that is wrong should not wait for the end.
_EPOCHS_UNSEEN = 2


class Evaluation(NamedTuple):
    """The state of a training after an evaluation.

    Attributes:
        energy_kwh: Energy of the run up to it; below 0 for one of an earlier run.
        best: Best value of the metric up to it; the higher, the better.
    """

    energy_kwh: float
    best: float


class ImprovementRule(NamedTuple):
    """The metric that should improve, and how much it must improve for its energy.

    Attributes:
        metric: Name of the metric; None where none is chosen.
        mode: Whether less of it (``min``) or more (``max``) is better.
        least_per_kwh: Least improvement for each kWh; None for no bound.
        patience: Number of evaluations over which the improvement is measured.
        on_low: Whether a smaller one only logs a warning (``warn``) or ends the training (``stop``).
    """

    metric: str | None = None
    mode: str = "min"
    least_per_kwh: float | None = None
    patience: int = 3
    on_low: str = "warn"

    @property
    def sign(self) -> float:
        """Factor with which a higher value is a better one."""
        return 1.0 if self.mode == "max" else -1.0

    @property
    def stops(self) -> bool:
        """Whether it may end the training."""
        return self.on_low == "stop"

    def checked(self) -> ImprovementRule:
        """Return the rule if its values, the arguments of a callback, are valid.

        Raises:
            ConfigError: One of them is wrong, or needs another one.
        """
        if self.mode not in ("min", "max"):
            raise ConfigError(f"improvement_mode must be 'min' or 'max', got {self.mode!r}")
        if self.on_low not in ("warn", "stop"):
            raise ConfigError(f"on_low_improvement must be 'warn' or 'stop', got {self.on_low!r}")
        if not _is_number(self.patience, numbers.Integral) or self.patience < 1:
            raise ConfigError(
                f"`patience` must be a number of evaluations, at least 1, got {self.patience!r}"
            )
        self._check_bound()
        return self

    def _check_bound(self) -> None:
        least = self.least_per_kwh
        if least is None:
            if self.stops:
                raise ConfigError("on_low_improvement='stop' needs min_improvement_per_kwh")
            return
        if not _is_number(least, numbers.Real) or not 0.0 < least < math.inf:
            raise ConfigError(
                f"min_improvement_per_kwh must be a finite number above 0, got {least!r}; it is the "
                "same for improvement_mode 'min' and 'max'"
            )
        if not self.metric:
            raise ConfigError(
                "min_improvement_per_kwh needs improvement_of: the name of the metric, such as "
                "'val_loss'"
            )


NO_RULE = ImprovementRule()


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


class Improvement:
    """The best value of a metric so far, and the energy up to it.

    Improvement is counted from the first value; for the bound, over the last ``patience`` evaluations. A
    value that is not finite counts as an evaluation without improvement.

    Attributes:
        is_too_low: Whether the training should end, because the metric improved too little.

    Args:
        rule: The metric, and the bound.
        earlier: Evaluations of the run that this one resumes, as `state` wrote them.
    """

    def __init__(self, rule: ImprovementRule = NO_RULE, earlier: Any = None) -> None:
        self.is_too_low = False
        self._rule = rule
        self._new: float | None = None
        self._first: Evaluation | None = None
        self._best: Evaluation | None = None
        self._recent: deque[Evaluation] = deque(maxlen=rule.patience + 1)
        self._epochs = 0
        self._is_seen = self._is_low = False
        self._messages: list[str] = []
        self.resume(earlier)

    def note(self, value: Any) -> None:
        """Note a value; the energy up to it is that of the next call of `energy_per_unit_kwh`.

        Args:
            value: A number, or a tensor with a single one.
        """
        self._is_seen = True
        name = self._rule.metric
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            self._messages.append(f"improvement_of: {name} is not a number: {value!r:.80}")
            return
        if math.isfinite(number):
            self._new = self._rule.sign * number
            return
        self._new = -math.inf
        self._messages.append(
            f"improvement_of: {name} is {number}, which counts as an evaluation without improvement"
        )

    def energy_per_unit_kwh(self, energy_kwh: float | None) -> float | None:
        """Return the energy for each unit of improvement; None while there is none.

        Args:
            energy_kwh: Energy so far.
        """
        if self._new is not None and energy_kwh is not None:
            value, self._new = self._new, None
            self._add(Evaluation(energy_kwh, value))
        if self._first is None or self._best is None or self._best.best <= self._first.best:
            return None
        (before_kwh, start), (after_kwh, best) = self._first, self._best
        return (after_kwh - before_kwh) / (best - start)

    def _add(self, seen: Evaluation) -> None:
        if math.isfinite(seen.best):
            self._first = self._first or seen
            self._best = max(self._best or seen, seen, key=lambda one: one.best)
        if self._rule.least_per_kwh is not None:
            before = self._recent[-1].best if self._recent else -math.inf
            self._recent.append(seen._replace(best=max(before, seen.best)))
            self._check(self._rule.least_per_kwh)

    def _check(self, least_per_kwh: float) -> None:
        """Compare the improvement over the last evaluations with the bound."""
        rule, first, last = self._rule, self._recent[0], self._recent[-1]
        if len(self._recent) <= rule.patience:
            return
        improved = last.best - first.best if last.best > first.best else 0.0
        used_kwh = last.energy_kwh - first.energy_kwh
        if improved >= least_per_kwh * used_kwh:
            return
        self.is_too_low = rule.stops
        if not self._is_low:
            self._is_low = True
            outcome = (
                "the training stops" if rule.stops else "on_low_improvement='stop' would stop it"
            )
            self._messages.append(
                f"{rule.metric} improved by {formatted(improved)} in the last {rule.patience} "
                f"evaluations, which used {energy(used_kwh)}: that is less than "
                f"min_improvement_per_kwh={least_per_kwh:g}; {outcome}"
            )

    # --- messages --------------------------------------------------------------------------------

    def begin_epoch(self, logged: Iterable[str]) -> None:
        """Note that an epoch begins, which warns if a bound waits for a metric that no log has.

        Args:
            logged: Names of the metrics that were logged so far.
        """
        names = list(logged)
        if self._epochs == _EPOCHS_UNSEEN and names and self._rule.least_per_kwh is not None:
            self.end(names, f"of the first {_EPOCHS_UNSEEN} epochs")
        self._epochs += 1

    def end(self, logged: Iterable[str], logs: str = "of the training") -> None:
        """Note that the training has ended, which warns if no log had the metric.

        Args:
            logged: Names of the metrics that were logged.
            logs: The logs that are meant, as text.
        """
        if not self._rule.metric or self._is_seen:
            return
        self._is_seen = True
        names = list(logged)
        shown = ", ".join(names[:_MOST_NAMES]) + (" ..." if len(names) > _MOST_NAMES else "")
        self._messages.append(
            f"improvement_of={self._rule.metric!r} is in no log {logs}; logged: {shown or 'nothing'}"
        )

    def taken_messages(self) -> list[str]:
        """Return the messages since the last call."""
        taken, self._messages = self._messages, []
        return taken

    # --- checkpoints -----------------------------------------------------------------------------

    def state(self, energy_kwh: float | None) -> dict[str, Any]:
        """Return the last evaluations as plain types; {} if there is none.

        Args:
            energy_kwh: Energy of the run so far; None for that of the last evaluation.
        """
        found = [one for one in self._recent if math.isfinite(one.best)]
        if not found:
            return {}
        now_kwh = found[-1].energy_kwh if energy_kwh is None else energy_kwh
        recent = [[one.energy_kwh - now_kwh, one.best] for one in found]
        return {"metric": self._rule.metric, "mode": self._rule.mode, "recent": recent}

    def resume(self, state: Any) -> None:
        """Continue the evaluations of a checkpoint; those of another metric do not count.

        Args:
            state: What `state` returned; anything else is ignored.
        """
        rule = self._rule
        if not isinstance(state, Mapping) or self._recent:
            return
        if (state.get("metric"), state.get("mode")) != (rule.metric, rule.mode):
            return
        recent = state.get("recent")
        pairs = recent if isinstance(recent, (list, tuple)) else []
        if all(_is_evaluation(one) for one in pairs):
            self._recent.extend(Evaluation(*map(float, one)) for one in pairs)


def _is_evaluation(pair: Any) -> bool:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return False
    return all(_is_number(one, numbers.Real) and math.isfinite(one) for one in pair)
