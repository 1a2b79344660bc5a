"""Jobs of batch systems: which variables identify them, and what is never recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carbon_core import EmissionsTracker
from carbon_core.job_environment import JobFacts, job_of_scheduler

SLURM = {
    "SLURM_JOB_ID": "125",
    "SLURM_ARRAY_JOB_ID": "123",
    "SLURM_ARRAY_TASK_ID": "4",
    "SLURM_STEP_ID": "0",
    "SLURMD_NODENAME": "gpu-07",
    "SLURM_CLUSTER_NAME": "alps",
    "SLURM_JOB_USER": "ada",
}
PBS = {"PBS_JOBID": "77[3].head", "PBS_ARRAY_ID": "77[].head", "PBS_ARRAY_INDEX": "3"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def job(environ: dict[str, str], root: Path = Path("/nowhere"), **options: bool) -> JobFacts | None:
    return job_of_scheduler(environ, root, host_name=lambda: "machine", **options)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (SLURM, JobFacts("slurm", "125", "123", "4", "0", "gpu-07", "alps")),
        ({"SLURM_JOB_ID": "9"}, JobFacts("slurm", "9", node="machine")),
        (PBS, JobFacts("pbs", "77[3].head", "77[].head", "3", node="machine")),
        (
            {"PBS_JOBID": "77-3", "PBS_ARRAYID": "3"},
            JobFacts("pbs", "77-3", array_index="3", node="machine"),
        ),
        (
            {"LSB_JOBID": "5", "LSB_JOBINDEX": "2"},
            JobFacts("lsf", "5", array_index="2", node="machine"),
        ),
        ({"LSB_JOBID": "5", "LSB_JOBINDEX": "0"}, JobFacts("lsf", "5", node="machine")),
        ({"JOB_ID": "8"}, None),
        (
            {"SGE_ROOT": "/opt/sge", "JOB_ID": "8", "SGE_TASK_ID": "undefined"},
            JobFacts("sge", "8", node="machine"),
        ),
        (POD, JobFacts("kubernetes")),
        (
            {**POD, "POD_NAME": "train-x7", "NODE_NAME": "n1", "JOB_COMPLETION_INDEX": "2"},
            JobFacts("kubernetes", "train-x7", array_index="2", step="train-x7", node="n1"),
        ),
        (
            {**POD, "JOB_NAME": "train", "POD_NAME": "train-x7", "POD_NAMESPACE": "ml"},
            JobFacts("kubernetes", "train", step="train-x7", namespace="ml"),
        ),
        ({**POD, **SLURM}, JobFacts("slurm", "125", "123", "4", "0", "gpu-07", "alps")),
        ({"SLURM_JOB_ID": " "}, None),
    ],
)
def test_each_batch_system_is_known(environ: dict[str, str], expected: JobFacts | None) -> None:
    assert job(environ) == expected


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("4294967290", "interactive"),
        ("4294967291", "batch"),
        ("4294967292", "extern"),
        ("12", "12"),
    ],
)
def test_steps_have_the_names_of_sacct(number: str, name: str) -> None:
    found = job({"SLURM_JOB_ID": "1", "SLURM_STEP_ID": number})
    assert found is not None
    assert found.step == name


def test_the_namespace_is_read_from_the_file_of_the_service_account(tmp_path: Path) -> None:
    directory = tmp_path / "var/run/secrets/kubernetes.io/serviceaccount"
    directory.mkdir(parents=True)
    (directory / "namespace").write_text("team-a\n")
    assert job(POD, tmp_path) == JobFacts("kubernetes", namespace="team-a")
    assert job({}, tmp_path) is None


def test_names_are_recorded_as_the_settings_say() -> None:
    hidden = job(SLURM, has_node=False)
    named = job(SLURM, has_user=True)
    assert hidden is not None
    assert named is not None
    assert (hidden.node, hidden.user) == ("", "")
    assert (named.node, named.user) == ("gpu-07", "ada")
    assert job({"LSB_JOBID": "5"}, has_node=False) == JobFacts("lsf", "5")


def test_values_are_one_short_line() -> None:
    found = job({"SLURM_JOB_ID": "1\n\x1b[31m\udcff" + "9" * 5000, "SLURM_CLUSTER_NAME": "\t"})
    assert found is not None
    assert found.job_id.isprintable()
    assert len(found.job_id) == 200
    assert found.cluster == ""


def test_receipt_and_journal_have_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    tracker = EmissionsTracker(output_dir=str(tmp_path), job_node=False, job_user=True)
    tracker.start()
    tracker.stop()
    (path,) = tmp_path.glob("carbon_runs/*.receipt.json")
    text = path.read_text()
    expected = JobFacts("slurm", "125", "123", "4", "0", "", "alps", user="ada")
    assert JobFacts(**json.loads(text)["run"]["job"]) == expected
    assert "gpu-07" not in text
