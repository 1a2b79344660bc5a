"""Every harm that a callback could do to a training is found by the harness, one by one."""

import logging
import os
import random
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from upstream.harness import Framework, Way, compare, examine, observe

LOGGER = "upstream.imaginary"


class Model:
    """What the imaginary framework trains."""

    def __init__(self):
        self.weights = np.zeros(3)


class Trainer:
    """An imaginary framework: it adds random numbers to the weights."""

    def __init__(self, callbacks):
        self.callbacks = callbacks

    def fit(self, model, log):
        for step in range(3):
            for callback in self.callbacks:
                callback(self, model)
            model.weights = model.weights + np.random.random(3)
            log.add({"loss": float(model.weights.sum())}, step)


def way_of_training(place):
    model, trainer = Model(), Trainer(place.callbacks)
    log = place.log("log")
    place.watch(model=model)
    trainer.fit(model, log)
    place.inspect(trainer=trainer)
    place.seen.weights["model"] = model.weights
    (place.path / "result.txt").write_text("trained")
    return {"loss": 1.0}


class Imaginary(Framework):
    """The framework with one harmful callback.

    Args:
        harm: What the callback does.
    """

    name = "imaginary"
    loggers = (LOGGER,)
    classes = (Trainer,)

    def __init__(self, harm):
        self.harm = harm

    def new_callback(self):
        return self.harm


kept = []
done = threading.Event()


def raises(trainer, model):
    raise ValueError("ours")


def changes_weights(trainer, model):
    model.weights = np.nextafter(model.weights, 1)


def draws_random_number(trainer, model):
    np.random.random()


def draws_at_random(trainer, model):
    random.random()


def warns(trainer, model):
    warnings.warn("ours", stacklevel=1)


def logs(trainer, model):
    logging.getLogger(LOGGER).warning("ours")


def complains(trainer, model):
    logging.getLogger("carbon_callbacks").warning("a hook failed")


def starts_thread(trainer, model):
    threading.Thread(target=done.wait, name="ours", daemon=True).start()


def opens_file(trainer, model):
    kept.append(os.fdopen(os.open(os.devnull, os.O_RDONLY)))


def sets_variable(trainer, model):
    os.environ["OURS"] = "1"


def takes_signal(trainer, model):
    signal.signal(signal.SIGUSR1, lambda *_: None)


def changes_class(trainer, model):
    Trainer.ours = 1


def adds_attribute(trainer, model):
    trainer.ours = 1


def keeps_model(trainer, model):
    kept.append(model)


def writes_into_home(trainer, model):
    (Path.home() / "ours").touch()


def writes_into_working_directory(trainer, model):
    Path("ours").touch()


def writes_beside_results(trainer, model):
    Path(os.environ["CODECARBON_OUTPUT_DIR"]).parent.joinpath("way", "ours.txt").write_text("1")


HARMS = {
    raises: "added raised/type",
    changes_weights: "changed weights/model",
    draws_random_number: "changed process/random/numpy",
    draws_at_random: "changed process/random/random",
    warns: "added process/warnings/UserWarning: ours",
    logs: f"added process/logged/{LOGGER} WARNING: ours",
    complains: "added process/logged/carbon_callbacks WARNING: a hook failed",
    starts_thread: "added process/threads/ours",
    opens_file: "added process/open files//dev/null",
    sets_variable: "added process/changed/environ/OURS",
    takes_signal: f"added process/changed/signal/{signal.SIGUSR1}",
    changes_class: f"added process/changed/class/{__name__}.Trainer/ours",
    adds_attribute: "added attributes/trainer/ours",
    keeps_model: "changed alive/model",
    writes_into_home: "added files elsewhere/home/ours",
    writes_into_working_directory: "added files elsewhere/cwd/ours",
    writes_beside_results: "added files/ours.txt",
}


@pytest.fixture(autouse=True)
def undone():
    """Undo what the harmful callbacks did."""
    yield
    done.set()
    for one in kept:
        getattr(one, "close", lambda: None)()
    kept.clear()
    done.clear()
    if hasattr(Trainer, "ours"):
        del Trainer.ours


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_harm_is_found(harm, tmp_path):
    way = Way("imaginary", way_of_training)
    bare = observe(Imaginary(harm), way, tmp_path, measured=False)
    found = compare(bare, observe(Imaginary(harm), way, tmp_path, measured=True))
    assert HARMS[harm] in {one.name for one in found if not one.allowed}


def test_callback_that_does_nothing_is_the_same(tmp_path):
    harmless = Imaginary(lambda trainer, model: None)
    assert examine(harmless, Way("imaginary", way_of_training), tmp_path) == []


def test_metric_of_ours_in_a_log_is_allowed_and_renames_nothing(tmp_path):
    class Logs:
        def __init__(self):
            self.log = None

        def __call__(self, trainer, model):
            if self.log:
                self.log.add({"carbon/energy_kwh": random.Random(1).random()}, 7)

    def way(place):
        for callback in place.callbacks:
            callback.log = place.log("log")
        return way_of_training(place)

    framework = Imaginary(Logs())
    found = examine(framework, Way("imaginary", way), tmp_path)
    assert {one.name for one in found} == {f"added logs/log/entry of ours {n}" for n in range(3)}
    assert all(one.allowed for one in found)


def test_way_that_fails_by_itself_is_no_agreement(tmp_path):
    def way(place):
        raise KeyError("a mistake in the way")

    with pytest.raises(AssertionError, match="a mistake in the way"):
        examine(Imaginary(None), Way("imaginary", way), tmp_path)


def test_what_two_bare_runs_do_not_share_is_no_difference(tmp_path):
    runs = []

    def way(place):
        runs.append(1)
        return len(runs)

    assert examine(Imaginary(None), Way("imaginary", way), tmp_path) == []
    assert len(runs) == 4
