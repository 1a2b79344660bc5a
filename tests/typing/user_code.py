"""What a user's type checker sees; checked by the session `types`, never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from carbon_callbacks import (
    EmissionsData,
    EmissionsTracker,
    OutputMethod,
    Report,
    track_emissions,
)
from carbon_callbacks.keras import EmissionsCallback as KerasCallback
from carbon_callbacks.lightning import EmissionsCallback as LightningCallback
from carbon_callbacks.pytorch_lightning import EmissionsCallback as PyTorchLightningCallback
from carbon_callbacks.transformers import EmissionsCallback as TransformersCallback


def settings_from_somewhere() -> dict[str, Any]:
    return {"pue": 1.2}


@track_emissions(country_iso_code="FRA")
def work(n: int) -> str:
    return "x" * n


@track_emissions
async def work_async(n: int) -> str:
    return "x" * n


assert_type(work(1), str)

with EmissionsTracker(save_to_file=False) as tracker:
    assert_type(tracker, EmissionsTracker)
    with tracker.window("part") as window:
        pass
    assert_type(window.energy_kwh, float)

    requests = tracker.requests("chat")
    with requests.request(tokens=3) as request:
        request.tokens += 1
    assert_type(request.energy_kwh, float)
    assert_type(requests.totals().completed, int)

assert_type(tracker.final_emissions, float | None)
assert_type(tracker.final_emissions_data, EmissionsData | None)
assert_type(tracker.final_report, Report | None)
assert_type(tracker.stop(), float | None)

EmissionsTracker("digits", 5, gpu_ids=[0], output_dir=Path("out"), pue=1, region=None)
EmissionsTracker(output_methods=[OutputMethod.CSV], metadata={"header": {}}, log_level=30)
EmissionsTracker(**settings_from_somewhere())
EmissionsTracker(contry_iso_code="FRA")  # type: ignore[call-arg]
EmissionsTracker(pue="1.2")  # type: ignore[arg-type]
track_emissions(offline=True, contry_iso_code="FRA")  # type: ignore[call-overload]
LightningCallback(progress_bar=False, country_iso_code="FRA", log_metrics="all", name="mine")
LightningCallback(improvement_of="val_loss", min_improvement_per_kwh=1, patience=2)
LightningCallback(contry_iso_code="FRA")  # type: ignore[call-arg]
PyTorchLightningCallback(pue=1.2, forecast=False)
PyTorchLightningCallback(improvement_of="val_loss", min_improvement_per_kwh=1, patience=2)
LightningCallback(contry_iso_code="FRA")  # type: ignore[call-arg]
TransformersCallback(return_metrics=True, budget_kwh=2)
TransformersCallback(contry_iso_code="FRA")  # type: ignore[call-arg]
KerasCallback(log_metrics=["energy_kwh"], samples_per_epoch=100, improvement_of="val_loss")
KerasCallback(contry_iso_code="FRA")  # type: ignore[call-arg]
KerasCallback(improvement_mode=1)  # type: ignore[arg-type]
