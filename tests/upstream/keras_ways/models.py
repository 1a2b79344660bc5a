"""A tiny model, the table of the ways to train it, and what is compared of them.

Each fit has a `Recorder` as its last callback, so that each way also compares the order of the hooks
and the logs that other callbacks get.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from upstream.allowed import is_ours
from upstream.harness import Framework, Log, Place, Unavailable, Ways

from carbon_callbacks.keras import EmissionsCallback

WAYS = Ways()
BACKEND = keras.backend.backend()
SAMPLES = 12
BATCH = 4
Callback = keras.callbacks.Callback


class Keras(Framework):
    """Keras, on the backend that ``KERAS_BACKEND`` names."""

    name = f"keras on {BACKEND}"
    loggers = ("keras", "keras_tuner", "tensorflow", "absl", "jax")
    classes = (keras.Model, keras.Sequential, Callback, keras.callbacks.CallbackList)
    accompanying = frozenset({"epoch", "hook", "step"})

    def new_callback(self) -> Any:
        return EmissionsCallback(log_level="warning")

    def reset(self) -> None:
        keras.backend.clear_session()

    def file_name(self, name: str) -> str:
        head, found, _ = name.partition("events.out.tfevents")
        return head + found

    def content(self, path: Path) -> Any:
        if path.suffix == ".h5":
            return dict(arrays_of(path))
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                weights = io.BytesIO(archive.read("model.weights.h5"))
                return {"config": archive.read("config.json"), "weights": dict(arrays_of(weights))}
        if path.name in ("trial.json", "oracle.json"):
            return None  # times in them
        if path.suffix in (".csv", ".tsv"):
            return Log(list(rows_of(path)))
        return super().content(path)


def rows_of(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the rows of a log by column; cells beyond the header have a column of their own."""
    with path.open(newline="") as file:
        reader = csv.DictReader(
            file, restkey="beyond", delimiter="\t" if path.suffix == ".tsv" else ","
        )
        for row in reader:
            yield {key: cell for key, cell in row.items() if cell}, row.get("epoch")


def arrays_of(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a file of weights by name."""
    found: dict[str, Any] = {}

    def visit(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            found[name] = one[()]

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)
    yield from found.items()


class Recorder(Callback):
    """Notes each hook and its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []

    def note(self, hook: str, index: Any, logs: Any) -> None:
        stops = getattr(self.model, "stop_training", None)
        self.events.append({"hook": hook, "step": index, "stops": stops, **(logs or {})})


def _noting(hook: str) -> Any:
    if "epoch" in hook or "batch" in hook:
        return lambda self, index, logs=None: self.note(hook, index, logs)
    return lambda self, logs=None: self.note(hook, None, logs)


for _hook in [name for name in dir(Callback) if name.startswith("on_")]:
    if _hook not in ("on_batch_begin", "on_batch_end"):  # what the train's own are by default
        setattr(Recorder, _hook, _noting(_hook))


class At(Callback):
    """Calls a function with the callback in a hook, a number of times, from an index on."""

    def __init__(self, hook: str, act: Any, *, index: int = 0, times: int = 1) -> None:
        super().__init__()
        self.index, self.times, self.act = index, times, act
        setattr(self, hook, self.reached)

    def reached(self, *args: Any, **_: Any) -> None:
        at = args[0] if args and isinstance(args[0], int) else self.index
        if at >= self.index and self.times:
            self.times -= 1
            self.act(self)


def samples(count: int = SAMPLES) -> tuple[Any, Any]:
    """Return inputs and targets."""
    inputs = np.sin(np.arange(count * 4, dtype="float32").reshape(count, 4))
    return inputs, inputs.sum(axis=1, keepdims=True)


def layers() -> list[Any]:
    return [
        keras.layers.Input((4,)),
        keras.layers.Dense(3),
        keras.layers.Dropout(0.3, seed=7),
        keras.layers.Dense(1),
    ]


def model(place: Place, kind: Any = None, *, watch: bool = True, **options: Any) -> Any:
    """Return a compiled model; the same each time.

    Args:
        place: Where it runs.
        kind: A subclass of `keras.Sequential`.
        watch: Whether it is compared what outlives the way.
        **options: For `compile`.
    """
    keras.utils.set_random_seed(7)
    made = (kind or keras.Sequential)(layers())
    base: dict[str, Any] = {"optimizer": keras.optimizers.SGD(0.05), "loss": "mse"}
    if BACKEND == "jax":
        base["jit_compile"] = False  # which would take longer than the training
    made.compile(**{**base, **options})
    if watch:
        number = len(place.watched)
        place.watch(**{f"model {number}": made, f"optimizer {number}": made.optimizer})
    return made


def fit(
    place: Place,
    made: Any,
    *data: Any,
    ours: list[Any] | None = None,
    before: tuple[Any, ...] = (),
    after: tuple[Any, ...] = (),
    name: str = "",
    **options: Any,
) -> Any:
    """Fit; put what is to be compared into the place, also where it raises.

    Args:
        place: Where it runs.
        made: The model.
        *data: What it is fit to; a few samples by default.
        ours: Our callbacks; those of the place by default.
        before: Other callbacks ahead of ours.
        after: Other callbacks behind ours.
        name: Of this fit, where a way has several.
        **options: Of `fit`.

    Returns:
        What `fit` returned, without its model, which it would keep.
    """
    recorder = Recorder()
    ours = place.callbacks if ours is None else ours
    base: dict[str, Any] = {"epochs": 2, "verbose": 0}
    if not data:
        data = samples()
        base.update(batch_size=BATCH)
    callbacks = [*before, *ours, *after, recorder]
    try:
        history = made.fit(*data, **{**base, "callbacks": callbacks, **options})
    finally:
        note(place, f"hooks{name}", recorder.events)
        record(place, made, name)
    return of_history(place, history, name)


def record(place: Place, made: Any, name: str = "") -> None:
    """Put what a model has become into the place."""
    place.seen.weights[f"model{name}"] = arrays(made.weights)
    if getattr(made, "optimizer", None) is not None:
        place.seen.weights[f"optimizer{name}"] = arrays(made.optimizer.variables)
    place.inspect(**{f"model{name}": made})
    place.seen.metrics[f"stopped{name}"] = made.stop_training


def of_history(place: Place, history: Any, name: str = "") -> Any:
    """Put a history into the place; return what of it is no log."""
    columns = history.history
    for number in range(max(map(len, columns.values()), default=0)):
        entry = {
            key: plain(values[number]) for key, values in columns.items() if number < len(values)
        }
        place.log(f"history{name}").add(entry, number)
    ours = {len(values) for key, values in columns.items() if is_ours(key)}
    place.seen.metrics[f"columns as long as the epochs{name}"] = ours <= {len(history.epoch)}
    return {"epochs": history.epoch, "params": history.params}


def note(place: Place, log: str, events: list[dict[str, Any]]) -> None:
    """Add the entries of a recorder to what is compared."""
    for event in events:
        entry = {key: plain(value) for key, value in event.items() if key != "outputs"}
        place.log(log).add(entry, entry.pop("step", None))


def plain(value: Any) -> Any:
    """Return a value in plain types."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return np.asarray(keras.ops.convert_to_numpy(value)).tolist()


def arrays(variables: Any) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(one)) for one in variables]


def attempt(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a call raises, as type and text; its result if it raises nothing."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        return [type(error).__name__, str(error).partition("\n")[0][:200]]


def needs_backend(*backends: str) -> None:
    """Skip a way that some backends do not have."""
    if BACKEND not in backends:
        raise Unavailable(f"not on {BACKEND}")
