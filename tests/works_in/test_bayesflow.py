"""BayesFlow: the callback is given to the fit of a workflow."""

import pytest

pytest.importorskip("bayesflow")

import bayesflow
import keras
import numpy as np
from works_in.tiny_keras import entries_of
from works_in.works import Trained


def test_workflow(works):
    def train(line):
        keras.utils.set_random_seed(7)
        numbers = np.sin(np.arange(64, dtype="float32")).reshape(32, 2)
        data = {"parameters": numbers, "observed": numbers + 1}
        workflow = bayesflow.BasicWorkflow(
            inference_network=bayesflow.networks.CouplingFlow(depth=1),
            inference_variables="parameters",
            inference_conditions="observed",
        )
        history = line.run(workflow=workflow, data=data)
        return Trained(workflow.approximator, entries_of(history))

    works.check(train)
