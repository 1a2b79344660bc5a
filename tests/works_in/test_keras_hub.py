"""KerasHub: its models are Keras models."""

import pytest

pytest.importorskip("keras_hub")

import keras
import keras_hub
import numpy as np
from works_in.tiny_keras import entries_of
from works_in.works import Trained


def test_fit(works):
    def train(line):
        keras.utils.set_random_seed(7)
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=20,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=16,
            max_sequence_length=8,
        )
        model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
        tokens = np.arange(64).reshape(8, 8) % 20
        x = {
            "token_ids": tokens,
            "segment_ids": np.zeros_like(tokens),
            "padding_mask": np.ones_like(tokens),
        }
        history = line.run(model=model, x=x, y=np.arange(8) % 2)
        return Trained(model, entries_of(history))

    works.check(train, phases=("train", "validate"))
