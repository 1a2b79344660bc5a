"""What libraries on Lightning have in common: a frame of series, a logger, and training again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from works_in.works import Trained, csv_log

torch.set_num_threads(1)

QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}


def series(name: str, time: str, value: str, *, length: int = 40) -> pd.DataFrame:
    """Return a frame of two series: its columns are the name, the time step and the value."""
    steps = np.arange(length)
    parts = [
        pd.DataFrame({name: one, time: steps, value: np.sin(steps / rate).astype("float32")})
        for one, rate in (("a", 3.0), ("b", 5.0))
    ]
    return pd.concat(parts, ignore_index=True)


def with_trainer(trainer: Any, model: Any, fit: Callable[[], object]) -> Trained:
    """Fit with a Trainer at hand, which goes on for an epoch without the callback afterwards."""
    fit()
    log = csv_log()

    def again() -> None:
        ours = [one for one in trainer.callbacks if "carbon_callbacks" in type(one).__module__]
        for one in ours:
            trainer.callbacks.remove(one)
        trainer.fit_loop.max_epochs += 1
        fit()

    return Trained(model, log, again)
