"""What every fault test starts from: an empty directory, and a starter of jobs that ends them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.children import Ended, Job

collect_ignore = (
    [] if sys.platform == "linux" else [p.name for p in Path(__file__).parent.glob("test_*.py")]
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Start jobs in the test's directory; none outlives the test."""
    jobs: list[Job] = []

    def begin(script: str, *flags: str, **more: str) -> Job:
        jobs.append(Job(tmp_path, script, *flags, **more))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()
        job.process.wait()
        for stream in (job.process.stdout, job.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def run(start: Callable[..., Job]) -> Callable[..., Ended]:
    """Run a job to its end."""

    def to_the_end(script: str, *flags: str, **more: str) -> Ended:
        return start(script, *flags, **more).end()

    return to_the_end


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the jobs of the test put their results."""
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own configuration or launcher decides a test."""
    for name in list(os.environ):
        if name.upper().startswith(("CODECARBON_", "SLURM_", "OMPI_", "PMI_", "MV2_")):
            monkeypatch.delenv(name)
    for name in ("LOCAL_RANK", "RANK", "MPI_LOCALRANKID", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
