"""neuralforecast: each model makes a Trainer of its own, to which it gives the callback."""

import pytest

pytest.importorskip("neuralforecast")

from neuralforecast import NeuralForecast
from neuralforecast.models import NHITS
from pytorch_lightning.loggers import CSVLogger
from works_in.tiny_lightning import QUIET, series
from works_in.works import Trained, csv_log


def test_model(works):
    def train(line):
        sizes = {"mlp_units": 3 * [[8, 8]], "batch_size": 2, "val_check_steps": 2}
        settings = {**sizes, **QUIET, "logger": CSVLogger("logs"), "log_every_n_steps": 1}
        model = line.run(NHITS=NHITS, settings=settings)
        forecast = NeuralForecast(models=[model], freq=1)
        forecast.fit(series("unique_id", "ds", "y"), val_size=4)
        return Trained(forecast.models[0], csv_log())

    works.check(train, phases=("train", "validate"), samples=4 * 2)
