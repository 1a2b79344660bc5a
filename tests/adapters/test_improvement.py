"""A training that improves too little for its energy: a warning, or its end, without a framework."""

import json
import math

import numpy as np
import pytest

from carbon_callbacks._training.rank_exchange import RankExchange
from carbon_callbacks.testing import WATTS, receipts
from carbon_callbacks.training import Training
from carbon_core import ConfigError

# Energy of an evaluation and the training before it: 0.001 kWh.
SECONDS = 3.6e6 / WATTS / 1000
STEADY = [2.0, 1.9, 1.8, 1.7, 1.6, 1.5]


def evaluated(machine, values, training=None, **settings):
    """Train with an evaluation after each epoch; return the `Training` and the number of epochs."""
    training = training or Training(
        **{"improvement_of": "val_loss", "min_improvement_per_kwh": 50.0, **settings}
    )
    epochs = 0
    with training.measure(resumes=True):
        for value in values:
            training.epoch_begin()
            machine.clock.advance(SECONDS)
            training.epoch_end()
            training.improve({"val_loss": value, "accuracy": 0.5})
            training.metrics()
            epochs += 1
            if training.should_stop(epochs):
                break
    return training, epochs


def lines(caplog):
    return [text for text in caplog.messages if "improve" in text]


def test_it_is_off_by_default(machine, caplog):
    training, epochs = evaluated(machine, [1.0] * 9, min_improvement_per_kwh=None)
    assert (epochs, training.may_stop) == (9, False)
    assert not lines(caplog)


# Each evaluation uses 0.001 kWh, so that a step of 0.1 is 100 for each kWh.
def test_a_training_that_improves_enough_continues(machine, caplog):
    _, epochs = evaluated(machine, STEADY, min_improvement_per_kwh=99, on_low_improvement="stop")
    assert epochs == len(STEADY)
    assert not lines(caplog)


def test_by_default_a_smaller_improvement_is_one_warning(machine, caplog):
    _, epochs = evaluated(machine, STEADY, min_improvement_per_kwh=101)
    assert epochs == len(STEADY)
    assert lines(caplog) == [
        "val_loss improved by 0.300 in the last 3 evaluations, which used 3.00 Wh: that is less than "
        "min_improvement_per_kwh=101; on_low_improvement='stop' would stop it"
    ]


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_it_stops_at_the_first_evaluation_that_may_decide(patience, machine, caplog):
    options = {"min_improvement_per_kwh": 101, "on_low_improvement": "stop"}
    training, epochs = evaluated(machine, STEADY, patience=patience, **options)
    assert epochs == patience + 1
    assert training.report.status == "completed"
    (line,) = lines(caplog)
    assert line.endswith("the training stops")


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("max", [0.1, 0.2, 0.3, 0.31, 0.31, 0.31, 0.31]),
        ("min", [9.0, 8.0, 7.0, 7.5, 8.0, 7.1, 7.0]),
        ("min", [5.0, 4.0, 3.0, math.nan, math.inf, -math.inf, math.nan]),
        ("max", [-5.0, -4.0, -3.0, -4.0, -5.0, -6.0, -7.0]),
    ],
)
def test_a_metric_that_stalls_gets_worse_or_is_no_number_ends_it(mode, values, machine):
    options = {"improvement_mode": mode, "on_low_improvement": "stop"}
    _, epochs = evaluated(machine, values, min_improvement_per_kwh=20, **options)
    assert epochs == 6  # three evaluations after the last good one
    assert [one["status"] for one in receipts()] == ["completed"]


def test_a_metric_that_improves_in_leaps_is_judged_over_all_evaluations_together(machine):
    values = [4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 1.0]
    options = {"min_improvement_per_kwh": 300, "on_low_improvement": "stop"}
    assert evaluated(machine, values, patience=3, **options)[1] == len(values)
    assert evaluated(machine, values, patience=2, **options)[1] == 3


def test_an_evaluation_that_uses_more_energy_counts_as_much(machine):
    """The same improvement is enough after a short epoch, and too little after a long one."""
    options = {"improvement_of": "loss", "min_improvement_per_kwh": 50, "patience": 1}
    training = Training(**options, on_low_improvement="stop")
    stopped = []
    with training.measure():
        for value, seconds in ((2.0, 9.0), (1.9, 0.5), (1.8, 1.9), (1.7, 2.1)):
            machine.clock.advance(seconds * SECONDS)
            training.improve({"loss": value})
            training.metrics()
            stopped.append(training.should_stop())
    assert stopped == [False, False, False, True]


def test_a_metric_that_is_not_finite_at_first_is_no_measure_of_what_follows(machine, caplog):
    training, epochs = evaluated(machine, [math.nan, *STEADY], on_low_improvement="stop")
    assert epochs == 1 + len(STEADY)
    per_unit = training._state.improvement.energy_per_unit_kwh(None)
    assert per_unit == pytest.approx(0.005 / 0.5)
    assert lines(caplog) == [
        "improvement_of: val_loss is nan, which counts as an evaluation without improvement"
    ]


def test_a_metric_that_is_always_nan_ends_the_training(machine):
    assert evaluated(machine, [math.nan] * 9, on_low_improvement="stop")[1] == 4


@pytest.mark.parametrize("value", ["none", None, [1.0, 2.0], np.ones(3)])
def test_a_metric_that_is_no_number_is_one_line(value, machine, caplog):
    _, epochs = evaluated(machine, [value] * 9, on_low_improvement="stop")
    assert epochs == 9
    (line,) = lines(caplog)
    assert line.startswith("improvement_of: val_loss is not a number: ")


def test_numbers_of_other_libraries_count(machine):
    values = [np.float32(2.0), np.array(1.9), np.int64(1), True]
    assert evaluated(machine, values, patience=3, on_low_improvement="stop")[1] == 4


@pytest.mark.parametrize(
    ("more", "logs"), [({}, "of the first 2 epochs"), ({"min_improvement_per_kwh": None}, "")]
)
def test_a_metric_that_no_log_has_is_one_line(more, logs, machine, caplog):
    evaluated(machine, STEADY, improvement_of="val_los", **more)
    (line,) = lines(caplog)
    expected = f"improvement_of='val_los' is in no log {logs or 'of the training'}; "
    assert line == expected + "logged: val_loss, accuracy"


def test_an_evaluation_outside_of_a_training_needs_no_metric(machine, caplog):
    training = Training(improvement_of="val_loss", min_improvement_per_kwh=1)
    with training.evaluation("test"):
        machine.clock.advance(SECONDS)
    assert not lines(caplog)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_improvement_per_kwh": 0}, "must be a finite number above 0, got 0"),
        ({"min_improvement_per_kwh": -1.5}, "must be a finite number above 0, got -1.5"),
        ({"min_improvement_per_kwh": math.nan}, "must be a finite number above 0, got nan"),
        ({"min_improvement_per_kwh": math.inf}, "must be a finite number above 0, got inf"),
        ({"min_improvement_per_kwh": "1"}, "must be a finite number above 0, got '1'"),
        ({"min_improvement_per_kwh": True}, "must be a finite number above 0, got True"),
        ({"improvement_of": None}, "min_improvement_per_kwh needs improvement_of"),
        ({"improvement_mode": "less"}, "improvement_mode must be 'min' or 'max', got 'less'"),
        ({"patience": 0}, "`patience` must be a number of evaluations, at least 1, got 0"),
        ({"patience": 2.0}, "at least 1, got 2.0"),
        ({"patience": True}, "at least 1, got True"),
        ({"on_low_improvement": "end"}, "on_low_improvement must be 'warn' or 'stop', got 'end'"),
        (
            {"min_improvement_per_kwh": None, "on_low_improvement": "stop"},
            "on_low_improvement='stop' needs min_improvement_per_kwh",
        ),
    ],
)
def test_a_wrong_argument_is_named_before_the_training(wrong, message):
    valid = {"improvement_of": "val_loss", "min_improvement_per_kwh": 1.0}
    with pytest.raises(ConfigError, match=message):
        Training(**{**valid, **wrong})


def test_a_budget_that_only_warns_does_not_stop_with_it(machine):
    options = {"budget_kwh": 1e-6, "on_budget": "warn", "on_low_improvement": "stop"}
    assert evaluated(machine, STEADY, **options)[1] == len(STEADY)


def test_a_budget_that_stops_does_so_without_it(machine):
    options = {"budget_kwh": 0.0015, "min_improvement_per_kwh": 1.0}
    assert evaluated(machine, STEADY, **options)[1] == 2


def resumed(machine, state, values, **settings):
    training = Training(
        **{"improvement_of": "val_loss", "min_improvement_per_kwh": 50.0, **settings},
        on_low_improvement="stop",
    )
    training.restore(state)
    return evaluated(machine, values, training)


def interrupted_state(machine, values):
    """Return the state that a checkpoint after some evaluations holds, as JSON keeps it."""
    training = Training(improvement_of="val_loss", min_improvement_per_kwh=50.0)
    with training.measure():
        for value in values:
            machine.clock.advance(SECONDS)
            training.improve({"val_loss": value})
            training.metrics()
        machine.clock.advance(SECONDS / 2)
        state = json.loads(json.dumps(training.state()))
        machine.clock.advance(50 * SECONDS)  # lost work, which says nothing about what is to come
    return state


def test_a_resumed_training_continues_the_evaluations_of_its_checkpoint(machine):
    state = interrupted_state(machine, [1.5, 1.4, 1.4])
    assert [one[1] for one in state["improvement"]["recent"]] == [-1.5, -1.4, -1.4]
    assert state["improvement"]["recent"][-1][0] == pytest.approx(-0.0005)
    # A fourth evaluation makes 0.1 in 0.0035 kWh: 29 for each kWh.
    assert resumed(machine, state, [1.4] * 9, min_improvement_per_kwh=28)[1] == 2
    assert resumed(machine, state, [1.4] * 9, min_improvement_per_kwh=29)[1] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "other"},
        {"mode": "max"},
        {"recent": None},
        {"recent": [[1.0]]},
        {"recent": [["a", "b"]] * 4},
        {"recent": [[0.0, math.nan]] * 4},
    ],
)
def test_evaluations_of_another_metric_or_no_evaluations_do_not_count(change, machine):
    state = interrupted_state(machine, [1.0] * 4)
    for improvement in ({**state["improvement"], **change}, "text", [1, 2]):
        _, epochs = resumed(machine, {**state, "improvement": improvement}, [1.0] * 9)
        assert epochs == 4


def test_a_checkpoint_of_an_older_version_has_no_evaluations(machine):
    state = interrupted_state(machine, [1.0] * 4)
    state.pop("improvement")
    training, epochs = resumed(machine, state, [1.0] * 9)
    assert epochs == 4
    assert len(training.report.earlier) == 1


def test_what_was_restored_and_not_resumed_does_not_count(machine):
    state = interrupted_state(machine, [1.0] * 4)
    training = Training(improvement_of="val_loss", min_improvement_per_kwh=50.0)
    training.restore(state)
    training.forget_restored()
    training.begin(resumes=True)
    assert not training.state().get("improvement")
    training.end()


def test_without_a_bound_a_checkpoint_has_no_evaluations(machine):
    training = Training(improvement_of="val_loss")
    with training.measure():
        machine.clock.advance(SECONDS)
        training.improve({"val_loss": 1.0})
        training.metrics()
        assert list(training.state()) == ["version", "segments"]


class Recorded(RankExchange):
    """The connection of a rank to others that never answer.

    Args:
        rank: The rank of this process.
    """

    rank = 0

    def __init__(self, rank):
        super().__init__()
        self.rank = rank
        self.wanted = []

    def should_stop(self, step, *, wanted):
        self.wanted.append(wanted)
        return False


@pytest.mark.parametrize(("rank", "count"), [(0, 1), (1, 0)])
def test_several_ranks_vote_as_for_a_budget_and_one_of_them_logs(rank, count, machine, caplog):
    training = Training(
        improvement_of="loss", min_improvement_per_kwh=50, patience=1, on_low_improvement="stop"
    )
    with training.measure():
        training._ranks._exchange = exchange = Recorded(rank)
        for _ in range(2):
            machine.clock.advance(SECONDS)
            training.improve({"loss": 1.0})
            training.metrics()
            assert not training.should_stop(1)
    assert exchange.wanted == [False, True]
    assert len(lines(caplog)) == count
