"""The dry run, without a framework: what it states of a whole training, and what it leaves as it was."""

from __future__ import annotations

import collections
import math
import random

import pytest
from trainings import KINDS

from carbon_callbacks._training import dry_run as dry_run_module
from carbon_callbacks._training.dry_run import DryRun, Seen, estimate, whole
from carbon_callbacks._training.kept_state import own_containers
from carbon_callbacks.testing import WATTS
from carbon_callbacks.training import Training
from carbon_core import CarbonError

TRAININGS = 60
# Where 90 % hold in the long run, 99 of 100 samples of this size have at least this.
LEAST = 0.80


def dry_run(machine, steps, *, total=1000, first_s=1.0, step_s=1.0, batches=0, pue=1.0):
    """Make a dry run with a clock that the test turns; return it."""
    dry = DryRun({"country_iso_code": "FRA", "pue": pue}, steps)
    with dry.measure():
        machine.clock.advance(5.0)
        dry.begin_steps(total)
        machine.clock.advance(first_s)
        while not dry.step():
            machine.clock.advance(step_s)
        dry.end_steps()
        if batches:
            dry.begin_validation(batches)
            machine.clock.advance(0.3)
            while not dry.validated():
                machine.clock.advance(0.3)
            dry.end_validation()
    return dry


def test_the_setup_and_the_first_step_count_once_and_the_steps_as_often_as_there_are(machine):
    found = dry_run(machine, 50, first_s=100.0).planned()
    assert found.energy_kwh.value == pytest.approx(WATTS * (5 + 100 + 999) / 3.6e6, rel=0.01)
    assert found.duration_s.value == pytest.approx(5 + 100 + 999, rel=0.01)
    assert found.rate_j.value == pytest.approx(WATTS, rel=0.01)
    assert (found.per, found.amount, found.basis) == ("step", 1000, "dry run of 51 steps")
    assert found.energy_kwh.low < found.energy_kwh.value < found.energy_kwh.high


def test_validation_counts_as_often_as_it_happens(machine):
    found = dry_run(machine, 50, batches=200).planned()
    assert found.duration_s.value == pytest.approx(5 + 1000 + 200 * 0.3, rel=0.02)


def test_the_overhead_of_the_site_counts(machine):
    plain = dry_run(machine, 20).planned().energy_kwh.value
    assert dry_run(machine, 20, pue=1.5).planned().energy_kwh.value == pytest.approx(1.5 * plain)


def test_short_steps_are_trained_for_some_seconds(machine):
    dry = dry_run(machine, 5, total=100_000, step_s=0.01)
    assert dry.report.duration_s > 5 + 3


def test_a_training_shorter_than_the_dry_run_is_trained_to_its_end(machine):
    for total in (1, 2, 7):
        found = dry_run(machine, 50, total=total).planned()
        assert found.duration_s.value == pytest.approx(5 + total, rel=0.02)
        assert found.duration_s.low < found.duration_s.value < found.duration_s.high


def test_no_interval_is_narrower_than_that_of_the_meters(machine):
    dry = dry_run(machine, 900)
    found, report = dry.planned().energy_kwh, dry.report.energy_kwh
    assert found.low / found.value < report.low / report.value
    assert found.high / found.value > report.high / report.value


def test_the_more_is_seen_the_narrower_the_interval(machine):
    widths = [dry_run(machine, steps).planned().duration_s for steps in (20, 200, 600, 990)]
    ratios = [one.high / one.low for one in widths]
    assert ratios == sorted(ratios, reverse=True)


def test_a_crowded_machine_may_be_faster_or_slower_later(machine):
    dry = dry_run(machine, 50)
    alone = dry.planned()
    dry.crowding = 4.0
    for found, before in zip(dry.planned()[:2], alone[:2]):
        assert found.value == before.value
        assert found.low / found.value < 1 / 4.0
        assert found.high / found.value > 4.0


def test_the_load_of_the_machine_is_read(machine, monkeypatch):
    monkeypatch.setattr(dry_run_module, "_crowding", lambda: 50.0)

    def run(dry):
        with dry.measure():
            dry.begin_steps(10)
            while not dry.step():
                machine.clock.advance(1.0)

    found = estimate(Training(save_to_file=False), 5, run).duration_s
    assert found.high / found.value > 50.0


def test_a_dry_run_without_a_step_states_nothing(machine):
    dry = DryRun({}, 10)
    with dry.measure():
        machine.clock.advance(5.0)
    assert dry.planned() is None
    with pytest.raises(CarbonError, match="nothing was measured"):
        estimate(Training(), 10, lambda dry: None)


def test_a_dry_run_writes_nothing(machine, place):
    dry_run(machine, 20)
    assert list(place.iterdir()) == []


def test_the_settings_and_the_budgets_are_those_of_the_callback(machine, place):
    training = Training(country_iso_code="POL", budget_kwh=1e-9, budget_kg_co2e=1e9)

    def run(dry):
        with dry.measure():
            dry.begin_steps(10)
            machine.clock.advance(1.0)
            while not dry.step():
                machine.clock.advance(1.0)

    found = estimate(training, 5, run)
    assert found.here.intensity.place == "Poland"
    assert found.budgets == {"budget_kwh": "exceeded", "budget_kg_co2e": "holds"}
    assert found.budget == "exceeded"
    assert list(place.iterdir()) == []


def test_an_estimate_within_a_training_is_refused(machine):
    training = Training(save_to_file=False)
    with training.measure(), pytest.raises(CarbonError, match="before a training"):
        estimate(training, 5, lambda dry: None)


def test_random_generators_are_restored_also_after_an_error(machine):
    numpy = pytest.importorskip("numpy")

    def run(dry):
        random.random()
        numpy.random.random()
        raise CarbonError("no dry run")

    random.seed(1)
    numpy.random.seed(1)
    with pytest.raises(CarbonError, match="no dry run"):
        estimate(Training(save_to_file=False), 5, run)
    drawn = random.random(), numpy.random.random()
    random.seed(1)
    numpy.random.seed(1)
    assert drawn == (random.random(), numpy.random.random())


def test_generators_of_the_data_are_restored(machine):
    numpy = pytest.importorskip("numpy")

    class Data:
        def __init__(self):
            self.of_python = random.Random(1)
            self.transforms = [numpy.random.default_rng(2), {"a": numpy.random.RandomState(3)}]
            self.itself, self.samples = self, list(range(1000))

        def drawn(self):
            first, second = self.transforms
            return self.of_python.random(), first.random(), second["a"].random()

    data, other = Data(), Data()
    training = Training(save_to_file=False)
    with pytest.raises(CarbonError):
        estimate(training, 5, lambda dry: data.drawn(), None, (0, {"x": data}))
    assert data.drawn() == other.drawn()


def test_containers_are_copied_and_their_contents_are_not():
    leaf = object()
    value = {
        "a": [leaf, {"b": {1}}],
        "c": collections.deque([1]),
        "d": collections.defaultdict(list),
    }
    own = own_containers(value)
    own["a"].append(1)
    own["a"][1]["b"].add(2)
    own["c"].append(2)
    own["d"]["x"].append(1)
    assert own["a"][0] is leaf
    assert value == {"a": [leaf, {"b": {1}}], "c": collections.deque([1]), "d": {}}


def seen(steps, upto, laps):
    """Return the amounts of the first steps, in some laps."""
    points, amount, size = [], 0.0, max(1, upto // laps)
    for i, step in enumerate(steps[:upto], 1):
        amount += step
        if i % size == 0 or i == upto:
            points.append(Seen(i, amount))
    return points


# The first step, which may compile the model, is none of them.
@pytest.mark.parametrize("upto", [20, 50, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_lies_within_the_interval_nine_times_in_ten(kind, upto):
    rng, held = random.Random(11), 0
    for _ in range(TRAININGS):
        steps = KINDS[kind](rng)[1:]
        found = whole(seen(steps, upto, 10), len(steps))
        held += found.low <= sum(steps) * math.exp(rng.gauss(0, 0.03)) <= found.high
    assert held / TRAININGS >= LEAST


@pytest.mark.parametrize("amounts", [[0, 0, 0], [5, 0, 0], [1e-12, 3e-12], [1e9, 1e-9]])
def test_odd_amounts_give_finite_figures_in_their_order(amounts):
    found = whole(seen(amounts, len(amounts), 3), 100)
    assert all(map(math.isfinite, found))
    assert 0 <= found.low <= found.value <= found.high


def test_nothing_seen_is_nothing():
    assert whole([], 10) == whole([Seen(1, 5.0)], 0) == (0.0, 0.0, 0.0)
