"""A baseline of a machine at work is refused, or saved with a note on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

import typer

from carbon_callbacks.cli import baseline
from carbon_callbacks.cli.idle_check import LoadWatch, gpu_problems, variations
from carbon_core.hardware.host import CpuTimes, Host
from carbon_core.testing import fake_device


class FakeHost(Host):
    """A machine of eight processors, of which some are busy."""

    def __init__(self, busy: float) -> None:
        super().__init__()
        self._busy, self._reads = busy, 0

    def logical_cpus(self) -> int:
        return 8

    def cpu_times(self) -> CpuTimes:
        self._reads += 1
        return CpuTimes(100.0 + self._reads * self._busy, 1000.0 + self._reads * 8.0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".config" / "carbon-callbacks"


def test_a_busy_machine_has_no_baseline(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        baseline.run(seconds=1.0, host=FakeHost(4.0))
    assert ended.value.exit_code == 1
    error = capsys.readouterr().err
    assert "4.0 of 8 processors were busy (idle: up to 0.6)" in error
    assert "end other programs" in error
    assert "--even-if-busy" in error
    assert not home.exists()


def test_a_busy_machine_is_refused_early(home: Path) -> None:
    """The longest measurement takes an hour; the test has a limit of its own."""
    with pytest.raises(typer.Exit):
        baseline.run(seconds=3600.0, host=FakeHost(4.0))


def test_on_request_it_is_saved_with_what_was_seen(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline.run(seconds=1.0, even_if_busy=True, host=FakeHost(4.0))
    (path,) = home.glob("idle-*.json")
    data = json.loads(path.read_text())
    assert data["idle_w"]
    assert any("4.0 of 8 processors" in text for text in data["not_idle"])
    shown = capsys.readouterr()
    assert "this machine is not idle" in shown.err
    assert "with the note that the machine was not idle" in shown.out


@pytest.mark.parametrize(
    ("busy", "is_idle"), [(0.0, True), (0.5, True), (0.7, False), (8.0, False)]
)
def test_some_services_are_no_work(busy: float, is_idle: bool) -> None:
    assert (list(LoadWatch(FakeHost(busy)).problems()) == []) is is_idle


def test_a_sandbox_that_shows_no_load_is_no_problem() -> None:
    class Hidden(FakeHost):
        def cpu_times(self) -> CpuTimes:
            return CpuTimes(0.0, 0.0)

    assert list(LoadWatch(Hidden(0.0)).problems()) == []


def test_power_that_varies_is_named_with_its_ends() -> None:
    gpu, cpu = fake_device("gpu"), fake_device("cpu")
    (line,) = variations({gpu: [20.0, 21.0, 80.0, 20.0], cpu: [8.0, 12.0, 9.0, 8.0]})
    assert "between 20.0 W and 80.0 W" in line
    assert line.startswith("gpu ")
    assert list(variations({gpu: [20.0, 80.0]})) == []  # too few windows


@pytest.mark.parametrize(("percent", "count"), [(None, 0), (1.0, 0), (60.0, 1)])
def test_gpus_at_work_are_seen(percent: float | None, count: int) -> None:
    assert len(list(gpu_problems(percent))) == count
