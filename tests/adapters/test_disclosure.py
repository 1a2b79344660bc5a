"""Disclosures of real trainings: each format has the runs of each framework."""

from __future__ import annotations

import json
from pathlib import Path

import disclosure_judges
import pytest

from carbon_callbacks.disclosure import Facts, collect, documents
from carbon_core.disclosure.facts import FACTS
from carbon_core.disclosure.formats import FORMATS

pytestmark = pytest.mark.slow
GIVEN = {
    **{
        one.key: one.choices[0] if one.choices else ("x" if one.kind == "text" else 1.0)
        for one in FACTS
    },
    **disclosure_judges.FACTS_IN_A_FORM,
}


def check(directory: str = ".") -> dict:
    """Check that every format can be written for the runs here; return the EU's form as JSON."""
    runs = collect([directory])
    for row in FORMATS:
        texts = documents(row.name, runs, Facts(GIVEN))
        assert texts, row.name
        assert all(texts.values()), row.name
        judge = disclosure_judges.JUDGES.get(row.name, lambda text: [])
        assert [one for text in texts.values() for one in judge(text)] == [], row.name
    form = json.loads(documents("gpai", runs, Facts({"model_name": "digits"}))["json"])
    assert form["energy_mwh"] > 0
    assert form["energy_low_mwh"] < form["energy_mwh"] < form["energy_high_mwh"]
    answers = {one["key"]: one["answer"] for one in form["items"]}
    assert answers["energy"].endswith(" MWh")
    return form


def model_classes() -> set[str]:
    """Return the classes of models in the receipts here."""
    receipts = Path("carbon_runs").glob("*.receipt.json")
    return {json.loads(one.read_text())["run"]["model_class"] for one in receipts}


def stated_samples() -> list[float | None]:
    """Return the samples of the data sets in the BoAmps reports of the runs here, by stage."""
    given = {**GIVEN, "data_type": "image"}
    del given["dataset_items"]
    texts = documents("boamps", collect(["."]), Facts(given))
    assert [one for text in texts.values() for one in disclosure_judges.of_boamps(text)] == []
    return [json.loads(text)["task"]["dataset"][0].get("dataQuantity") for text in texts.values()]


def kinds(form: dict) -> list[str]:
    return [one["kind"] for one in form["runs"]]


def test_lightning_with_an_evaluation_and_its_operations():
    from adapters.test_estimate import Lightning

    adapter = pytest.importorskip("carbon_callbacks.lightning")
    one = Lightning("lightning.pytorch", limit_train_batches=3, limit_val_batches=1)
    module = one.model()
    module.flops_per_batch = 1e6
    trainer = one.trainer(adapter.EmissionsCallback(country_iso_code="FRA"))
    trainer.fit(module, *one.loaders())
    trainer.validate(module, one.loaders()[1], verbose=False)
    form = check()
    assert kinds(form) == ["training", "evaluation"]
    assert form["flops"] == 9e6
    assert model_classes() == {f"{type(module).__module__}.{type(module).__qualname__}"}
    assert form["runs"][0]["places"][0]["place"] == "France"
    # Not of the three batches of an epoch.
    assert [one["dataset_samples"] for one in form["runs"]] == [160, None]
    assert sorted(stated_samples(), key=str) == [160, None]


def test_transformers():
    from adapters.test_estimate import hf_trainer

    adapter = pytest.importorskip("carbon_callbacks.transformers")
    trainer = hf_trainer(adapter.EmissionsCallback(), max_steps=3)
    trainer.train()
    assert stated_samples() == [160]
    form = check()
    assert form["runs"][0]["dataset_samples"] == 160
    model = type(trainer.model)
    assert model_classes() == {f"{model.__module__}.{model.__qualname__}"}
    assert kinds(form) == ["training"]
    assert form["flops"] is None, "the model does not count its operations"


def test_keras():
    keras = pytest.importorskip("keras")
    from adapters.test_estimate import keras_data, keras_model

    from carbon_callbacks.keras import EmissionsCallback

    callback = EmissionsCallback(samples_per_epoch=160)
    model = keras_model(keras)
    model.fit(*keras_data(), epochs=1, verbose=0, callbacks=[callback])
    model.evaluate(*keras_data(), verbose=0, callbacks=[callback])
    assert kinds(check()) == ["training", "evaluation"]
    assert sorted(stated_samples(), key=str) == [160, None]
    assert model_classes() == {"keras.src.models.sequential.Sequential"}


def test_a_training_that_fails_counts_with_what_it_used():
    from carbon_callbacks.training import Training

    with pytest.raises(KeyError), Training().measure():
        sum(range(1_000_000))
        raise KeyError("of the program")
    form = check()
    assert [one["status"] for one in form["runs"]] == ["failed"]
