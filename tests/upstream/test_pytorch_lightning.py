"""Each way of using a Trainer of ``pytorch_lightning``, with the callback and without it."""

import pytest

pytest.importorskip("pytorch_lightning")

from upstream.harness import check
from upstream.lightning_ways.every import WAYS, Lightning

FRAMEWORK = Lightning("pytorch_lightning", "carbon_callbacks.pytorch_lightning")


@pytest.mark.parametrize("way", list(WAYS), ids=lambda way: way.id)
def test_same_with_and_without(way, results, tmp_path):
    check(FRAMEWORK, way, tmp_path, results)
