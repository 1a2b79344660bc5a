"""PyTorch Tabular: the callback is given to `fit`."""

import pytest

pytest.importorskip("pytorch_tabular")

import numpy as np
import pandas as pd
from pytorch_tabular import TabularModel
from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
from pytorch_tabular.models import CategoryEmbeddingModelConfig
from works_in.works import Trained, tensorboard_log


def test_fit(works):
    def train(line):
        numbers = np.sin(np.arange(96).reshape(32, 3))
        frame = pd.DataFrame(numbers, columns=["a", "b", "c"])
        frame["target"] = frame.sum(axis=1)
        model = TabularModel(
            data_config=DataConfig(target=["target"], continuous_cols=["a", "b", "c"]),
            model_config=CategoryEmbeddingModelConfig(task="regression", layers="4"),
            optimizer_config=OptimizerConfig(),
            trainer_config=TrainerConfig(
                max_epochs=2, batch_size=8, accelerator="cpu", progress_bar="none"
            ),
            verbose=False,
        )
        line.run(model=model, frame=frame)
        return Trained(model.model, tensorboard_log())

    works.check(train, phases=("train", "validate"), samples=2 * 32)
