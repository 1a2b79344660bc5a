"""Jobs of sweeps are trials of a study that the environment names: W&B, Slurm arrays, Hydra."""

from pathlib import Path

import pytest

from carbon_callbacks import EmissionsTracker
from carbon_callbacks.studies import Study
from carbon_callbacks.testing import JOULES_PER_KWH, WATTS, receipts, run_python

LAUNCHERS = {
    "W&B sweep": ("ab12cd34", {"WANDB_SWEEP_ID": "ab12cd34", "WANDB_RUN_ID": "{}"}),
    "Slurm array": (
        "slurm-4242",
        {"SLURM_ARRAY_JOB_ID": "4242", "SLURM_ARRAY_TASK_ID": "{}", "SLURM_JOB_ID": "43{}"},
    ),
    "variables": ("mine", {"CODECARBON_STUDY_ID": "mine", "CODECARBON_TRIAL_ID": "{}"}),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_jobs_are_trials_of_one_study(machine, monkeypatch, launcher):
    study_id, variables = LAUNCHERS[launcher]
    for number in range(3):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(number))
        with EmissionsTracker():
            machine.clock.advance(1 + number)
    totals = Study(study_id).totals()
    assert totals.statuses == {"completed": 3}
    used = {one.trial_id: one.energy_kwh for one in totals.trials}
    kwh = WATTS / JOULES_PER_KWH
    assert used == pytest.approx({"0": kwh, "1": 2 * kwh, "2": 3 * kwh})
    assert totals.energy_kwh == pytest.approx(6 * kwh)


def test_a_callback_in_a_job_is_a_trial_too(machine, monkeypatch):
    from carbon_callbacks.training import Training

    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "first")
    with Training().measure():
        machine.clock.advance(1)
    (receipt,) = receipts()
    study = receipt["run"]["study"]
    assert (study["study_id"], study["trial_id"]) == ("sweep", "first")


PROGRAM = """
import hydra
from carbon_callbacks import EmissionsTracker

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    with EmissionsTracker():
        print(config.lr)

main()
"""


@pytest.mark.slow
def test_jobs_of_a_hydra_multirun_are_trials():
    pytest.importorskip("hydra")
    Path("conf").mkdir()
    Path("conf/config.yaml").write_text(
        "lr: 0.1\nhydra:\n  sweep: {dir: multirun}\n  job:\n    env_set:\n"
        "      CODECARBON_STUDY_ID: digits\n      CODECARBON_TRIAL_ID: ${hydra:job.num}\n"
    )
    Path("main.py").write_text(PROGRAM)
    start = "import runpy, sys; sys.argv = ['main.py', '--multirun', 'lr=0.1,0.2']\n"
    done = run_python(f"{start}runpy.run_path('main.py', run_name='__main__')")
    assert done.returncode == 0, done.stderr
    totals = Study("digits").totals()
    assert [one.trial_id for one in totals.trials] == ["0", "1"]
    assert totals.statuses == {"completed": 2}
