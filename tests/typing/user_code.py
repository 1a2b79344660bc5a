"""What a user's type checker sees; checked by the session `types`, never run."""

from __future__ import annotations

from typing_extensions import assert_type

from carbon_callbacks import EmissionsData, EmissionsTracker, Report, track_emissions


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

assert_type(tracker.final_emissions, float | None)
assert_type(tracker.final_emissions_data, EmissionsData | None)
assert_type(tracker.final_report, Report | None)
assert_type(tracker.stop(), float | None)
