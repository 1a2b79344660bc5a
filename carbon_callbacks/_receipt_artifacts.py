"""The receipt as an artifact of the runs of MLflow and W&B that a training is logged to.

Objects of frameworks are recognised by the names of their classes: nothing is imported that the program
has not imported. Each upload has a thread of its own, because a server may not respond.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from carbon_callbacks._training.training import Training
    from carbon_core import LazyThread

SUFFIX = ".receipt.json"
# A directory of the artifacts of a run of MLflow, and the type of an artifact of W&B.
_KIND = "carbon"

# Adds a text under the name of a file.
_Add = Callable[[str, str], object]


class Upload(NamedTuple):
    """An experiment tracker that gets a receipt.

    Attributes:
        name: Its name, for messages.
        add: Adds a text to its run, under the name of a file.
    """

    name: str
    add: _Add


def uploads(loggers: Iterable[Any]) -> list[Upload]:
    """Return the runs of MLflow and W&B that some loggers log to.

    Call it on the thread that logs, before the run ends: MLflow has an active run for each thread.

    Args:
        loggers: Loggers of Lightning, callbacks of Hugging Face, trackers of Accelerate; others, and
            those that log to no run, are left out.
    """
    return [upload for logger in loggers for upload in _of_logger(logger)]


def of_target(target: Any) -> Upload | None:
    """Return where the receipt goes for the module ``mlflow``, a run of W&B or its module; else None."""
    if hasattr(target, "active_run") and hasattr(target, "MlflowClient"):
        return _of_mlflow(target)
    run = getattr(target, "run", target)
    return _of_wandb(run) if hasattr(run, "log_artifact") else None


def send(training: Training, found: Iterable[Upload]) -> None:
    """Add the receipt of the latest run to experiment trackers; never raises.

    Waits for at most ``shutdown_timeout_s``; a thread of a tracker that takes longer continues.

    Args:
        training: The training, which has ended.
        found: Where to add it.
    """
    # Loaded at the end of a training, not when its callback is imported.
    from carbon_core import SystemClock, receipt_text

    with training.guard():
        settings, report = training.tracker.settings, training.report
        if report is None or not settings.sends_receipts:
            return
        if report.duration_s < settings.min_duration_s:
            return
        text, name = receipt_text(report), report.run.run_id + SUFFIX
        problems: dict[str, str] = {}
        waiting = [(one.name, _started(one, text, name, problems)) for one in found]
        begin_ns = SystemClock.monotonic_ns()
        for tracker, thread in waiting:
            waited_s = (SystemClock.monotonic_ns() - begin_ns) / 1e9
            if not thread.join(max(0.0, settings.shutdown_timeout_s - waited_s)):
                problems.setdefault(tracker, "no response in time")
        for tracker, problem in problems.items():
            training.tracker.warn(f"{tracker} did not get the receipt: {problem}")


def send_to_trackers(training: Training, accelerator: Any) -> None:
    """Add the receipt to the trackers of an Accelerator, on the rank that logs."""
    if accelerator.is_main_process:
        send(training, uploads(accelerator.trackers))


def _started(upload: Upload, text: str, name: str, problems: dict[str, str]) -> LazyThread:
    """Return a thread that adds the receipt, and puts the reason into `problems` where it cannot."""

    def run() -> None:
        try:
            upload.add(text, name)
        except Exception as error:  # noqa: BLE001 - a tracker's errors have no common class
            problems[upload.name] = repr(error)

    from carbon_core import LazyThread

    thread = LazyThread(run, "carbon-artifact")
    if not thread.start():
        problems[upload.name] = "no thread could be started"
    return thread


def _of_logger(logger: Any) -> Iterator[Upload]:
    for cls in type(logger).__mro__:
        if cls.__name__ in _KINDS:
            if (found := _KINDS[cls.__name__](logger)) is not None:
                yield found
            return


def _of_mlflow(module: Any) -> Upload | None:
    run = module.active_run()
    return None if run is None else _mlflow(module.MlflowClient, run.info.run_id)


def _mlflow(client: Callable[[], Any], run_id: str) -> Upload:
    return Upload("MLflow", functools.partial(_add_to_mlflow, client, lambda: run_id))


def _of_wandb(run: Any) -> Upload | None:
    return None if run is None else Upload("W&B", functools.partial(_add_to_wandb, lambda: run))


def _add_to_mlflow(
    client: Callable[[], Any], run_id: Callable[[], str], text: str, name: str
) -> None:
    client().log_text(run_id(), text, f"{_KIND}/{name}")


def _add_to_wandb(run: Callable[[], Any], text: str, name: str) -> None:
    artifact = sys.modules["wandb"].Artifact(name.removesuffix(".json"), type=_KIND)
    with artifact.new_file(name, mode="w", encoding="utf-8") as file:
        file.write(text)
    run().log_artifact(artifact)


def _lightning_mlflow(logger: Any) -> Upload:
    # These properties make the run where nothing was logged: on the thread.
    add = functools.partial(_add_to_mlflow, lambda: logger.experiment, lambda: logger.run_id)
    return Upload("MLflow", add)


def _lightning_wandb(logger: Any) -> Upload:
    return Upload("W&B", functools.partial(_add_to_wandb, lambda: logger.experiment))


def _hf_mlflow(callback: Any) -> Upload | None:
    return _of_mlflow(callback._ml_flow) if callback._initialized else None


def _hf_wandb(callback: Any) -> Upload | None:
    return _of_wandb(callback._wandb.run) if callback._initialized else None


def _accelerate_mlflow(tracker: Any) -> Upload | None:
    run = getattr(tracker, "active_run", None)
    client = sys.modules["mlflow"].MlflowClient if "mlflow" in sys.modules else None
    return None if run is None or client is None else _mlflow(client, run.info.run_id)


def _accelerate_wandb(tracker: Any) -> Upload | None:
    return _of_wandb(getattr(tracker, "run", None))


_KINDS: dict[str, Callable[[Any], Upload | None]] = {
    "MLFlowLogger": _lightning_mlflow,
    "WandbLogger": _lightning_wandb,
    "MLflowCallback": _hf_mlflow,
    "WandbCallback": _hf_wandb,
    "MLflowTracker": _accelerate_mlflow,
    "WandBTracker": _accelerate_wandb,
}
