"""Each way of using the Trainer of ``transformers``, with the callback and without it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("transformers")

from upstream.harness import check
from upstream.transformers_ways.every import WAYS, Transformers

FRAMEWORK = Transformers()


@pytest.mark.parametrize("way", list(WAYS), ids=lambda way: way.id)
def test_same_with_and_without(way, results, tmp_path):
    check(FRAMEWORK, way, tmp_path, results)
