"""`carbon_callbacks.training`: what adapters and loops of one's own are made of, without a framework."""

import threading

import pytest

from carbon_callbacks._training.metrics import across_ranks
from carbon_callbacks.testing import WATTS, Boom, receipts, run_python
from carbon_callbacks.training import METRICS, Metric, Progress, Training, wrap_method
from carbon_core.tracker import run


def trained(clock, *, epochs=2, **settings):
    """Train in a loop without hooks; return its `Training` and the metrics of each epoch."""
    training = Training(**settings)
    logged = []
    with training.measure():
        for epoch in range(epochs):
            training.epoch_begin(epoch / epochs)
            clock.advance(4.0)
            with training.within("validate"):
                clock.advance(1.0)
            training.epoch_end()
            metrics = training.metrics(Progress((epoch + 1) / epochs, samples=8), f"epoch {epoch}")
            logged.append(training.selection.of(metrics))
    return training, logged


def test_a_loop_without_hooks_is_measured(machine):
    training, logged = trained(machine.clock, log_metrics="all")
    phases = {phase.name: phase.joules for phase in training.report.phases}
    assert phases["train"] == pytest.approx(WATTS * 8)
    assert phases["validate"] == pytest.approx(WATTS * 2)
    assert [one["epoch_energy_kwh"] for one in logged] == [pytest.approx(WATTS * 5 / 3.6e6)] * 2
    assert logged[-1]["j_per_sample"] == pytest.approx(WATTS * 10 / 8)
    assert logged[-1]["forecast_energy_kwh"] == pytest.approx(logged[-1]["energy_kwh"])


def test_a_loop_that_raises_closes_its_run(machine):
    training = Training()
    with pytest.raises(Boom), training.measure():
        machine.clock.advance(1.0)
        raise Boom
    assert [receipt["status"] for receipt in receipts()] == ["failed"]


def test_a_loop_continues_what_its_checkpoint_holds(machine):
    first, _ = trained(machine.clock)
    second = Training()
    second.restore(first.state())
    with second.measure(resumes=True):
        machine.clock.advance(1.0)
    assert [one.run_id for one in second.report.earlier] == [first.report.run.run_id]
    assert second.final_metrics()["all_starts_energy_kwh"] == pytest.approx(WATTS * 11 / 3.6e6)


TOY = Metric(
    "toy_j", "J", "A toy.", lambda rank: rank.report.window.joules, "mean", level="standard"
)


@pytest.fixture
def toy():
    """The row of a metric, added as CONTRIBUTING.md says and taken away after the test."""
    METRICS.append(TOY)
    yield TOY
    METRICS.remove(TOY)


@pytest.mark.usefixtures("toy")
def test_a_metric_that_is_added_as_a_row_is_logged(machine):
    training, logged = trained(machine.clock)
    assert [one["toy_j"] for one in logged] == [pytest.approx(WATTS * 5), pytest.approx(WATTS * 10)]
    assert "toy_j" in training.metric_names()
    assert list(trained(machine.clock, log_metrics=["toy_j"])[1][0]) == ["toy_j"]


@pytest.mark.parametrize(("rule", "value"), [("sum", 6.0), ("mean", 2.0), ("max", 3.0)])
def test_a_metric_that_is_added_is_combined_over_ranks_as_its_row_says(rule, value):
    METRICS.append(TOY._replace(across_ranks=rule))
    try:
        assert across_ranks([{"toy_j": one} for one in (1.0, 2.0, 3.0)]) == {"toy_j": value}
    finally:
        METRICS.pop()


def test_a_metric_whose_row_is_taken_away_is_gone(machine):
    training, logged = trained(machine.clock, log_metrics="all")
    assert not [one for one in logged if "toy_j" in one]
    assert "toy_j" not in training.metric_names()
    assert "toy_j" not in training.final_metrics()


def test_a_metric_of_the_whole_training_is_computed_from_the_totals_of_all_ranks(machine):
    METRICS.append(Metric("toy_x", "1", "A toy.", of_training=lambda all_: 2 * all_.energy_kwh))
    try:
        _, logged = trained(machine.clock, log_metrics="all")
    finally:
        METRICS.pop()
    assert logged[-1]["toy_x"] == 2 * logged[-1]["energy_kwh"]


def test_a_metric_that_fails_ends_no_training(machine, caplog):
    METRICS.append(Metric("toy_x", "1", "A toy.", lambda rank: 1 / 0))
    try:
        training, logged = trained(machine.clock)
    finally:
        METRICS.pop()
    assert training.report.status == "completed"
    assert logged == [{}, {}]
    assert len([text for text in caplog.messages if "ZeroDivisionError" in text]) == 1


def test_the_module_loads_no_framework():
    program = (
        "import sys, carbon_callbacks.training\n"
        "heavy = {'torch', 'lightning', 'keras', 'transformers', 'numpy', 'pytest', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert run_python(program).stdout == "[]\n"


def test_a_log_within_an_epoch_has_the_energy_of_that_epoch_so_far(machine):
    training = Training(log_metrics="all")
    with training.measure():
        machine.clock.advance(100)
        assert "epoch_energy_kwh" not in training.metrics()
        seen = []
        for epoch_s in (4, 8):
            training.epoch_begin()
            for _ in range(2):
                machine.clock.advance(epoch_s / 2)
                seen.append(training.metrics()["epoch_energy_kwh"])
            training.epoch_end()
            machine.clock.advance(100)  # an evaluation
            seen.append(training.metrics()["epoch_energy_kwh"])
    assert seen == [pytest.approx(WATTS * s / 3.6e6) for s in (2, 4, 4, 4, 8, 8)]


@pytest.mark.parametrize("within_epoch", [False, True])
def test_an_epoch_that_has_just_begun_has_no_negative_energy(within_epoch, machine):
    training = Training(log_metrics="all")
    with training.measure():
        for _ in range(3):
            machine.clock.advance(10)
            training.metrics(within_epoch=within_epoch)
            machine.clock.advance(0.05)
            training.epoch_begin()
            figures = training.metrics(within_epoch=within_epoch)
            assert 0 <= figures.get("epoch_energy_kwh", 0.0) < 1e-9
            training.epoch_end()


def test_an_epoch_whose_reading_was_late_is_corrected_at_the_next_log(machine):
    late, released = threading.Event(), threading.Event()
    begun_s = machine.clock.monotonic_ns() / 1e9

    def value(t_s):
        if late.is_set():
            released.wait(10)
        seconds = t_s - begun_s
        return WATTS * (seconds + 2 * max(0.0, seconds - 10))

    machine.value = value
    run.PATIENCE_S = 0.05  # the fixture restores it
    training = Training(log_metrics="all")
    with training.measure():
        machine.clock.advance(10)
        training.epoch_begin(0.0)
        training.metrics()  # waits for the reading
        late.set()
        machine.clock.advance(10)
        training.epoch_end()
        early = training.metrics()["epoch_energy_kwh"]
        late.clear()
        released.set()
        run.PATIENCE_S = 10.0
        final = training.metrics()["epoch_energy_kwh"]
    assert early == pytest.approx(WATTS * 10 / 3.6e6)
    assert final == pytest.approx(WATTS * 30 / 3.6e6)


def test_a_method_that_two_adapters_wrap_is_called_through_both_of_them_once():
    class Estimator:
        def fit(self):
            return ["fit"]

    def one(method, owner, /):
        return ["one", *method(owner)]

    def other(method, owner, /):
        return ["other", *method(owner)]

    for around in (one, other, one, None, other, None):
        wrap_method(Estimator, "fit", around)
    assert Estimator().fit() == ["other", "one", "fit"]
    wrap_method(Estimator, "predict", one)
    assert not hasattr(Estimator, "predict")
