"""The hardware by CodeCarbon's method of a tracker, before, during and after a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbon_core import OfflineEmissionsTracker

FROM_THE_RUN = ("ram_total_size", "cpu_count", "cpu_model", "gpu_count", "gpu_model")


def test_it_is_that_of_the_results_whenever_it_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tracker = OfflineEmissionsTracker(save_to_file=False, log_level="error", gpu_ids=[0])
    before = tracker.get_detected_hardware()
    assert not tracker.running
    with tracker:
        during = tracker.get_detected_hardware()
    after = tracker.get_detected_hardware()
    assert before == during == after
    assert set(before) == {*FROM_THE_RUN, "cpu_physical_count", "gpu_ids"}
    assert 1 <= before["cpu_physical_count"] <= before["cpu_count"]
    assert before["gpu_ids"] == [0]
    data = tracker.final_emissions_data
    assert {name: before[name] for name in FROM_THE_RUN} == {
        name: getattr(data, name) for name in FROM_THE_RUN
    }
    assert data.energy_consumed > 0
    assert list(tmp_path.iterdir()) == []
