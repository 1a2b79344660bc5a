"""Each way of using a Trainer of ``lightning``, with the callback and without it."""

import pytest

pytest.importorskip("lightning.pytorch")

from upstream.harness import check
from upstream.lightning_ways.every import WAYS, Lightning

FRAMEWORK = Lightning("lightning.pytorch", "carbon_callbacks.lightning")


@pytest.mark.parametrize("way", list(WAYS), ids=lambda way: way.id)
def test_same_with_and_without(way, results, tmp_path):
    check(FRAMEWORK, way, tmp_path, results)
