"""Each way of using a model of Keras, with the callback and without it; on one backend."""

import os

import pytest

# Keras picks its backend when it is first imported.
os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("keras")
pytest.importorskip(os.environ["KERAS_BACKEND"])

from upstream.harness import check
from upstream.keras_ways.every import WAYS, Keras

FRAMEWORK = Keras()


@pytest.mark.parametrize("way", list(WAYS), ids=lambda way: way.id)
def test_same_with_and_without(way, results, tmp_path):
    check(FRAMEWORK, way, tmp_path, results)
