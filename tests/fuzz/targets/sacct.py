"""The output of `sacct`, with any content, joined with the runs of the jobs in it."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

from carbon_core.accounting.job_energy import join
from carbon_core.accounting.slurm_text import lines_of, read
from carbon_core.errors import OutputError
from carbon_core.job_environment import JobFacts
from carbon_core.outputs.history import run_of
from carbon_core.outputs.receipt_reading import of_report

sys.path.append(str(Path(__file__).parents[2]))
report_of = importlib.import_module("core.outputs.conftest").report_of

_HEADER = (
    b"JobName|JobID|JobIDRaw|Cluster|State|ElapsedRaw|Elapsed|NNodes|AllocCPUS|ConsumedEnergyRaw"
)
SEEDS = (
    _HEADER + b"\ntrain|7|7|alps|COMPLETED|7200|02:00:00|1|4|18000000\n"
    b"batch|7.batch|7.batch|alps|COMPLETED|7200|02:00:00|1|4|18000000\n"
    b"a|b|7_4|9|alps|CANCELLED by 0|5|00:00:05|1|4|18446744073709551614\n",
    b"JobID|ConsumedEnergy|\n7+0|1.23M|\n7+1|4.57K|\n7+1.0|4.57K|\n7_[1-3%2]||\n",
)
DICTIONARY = (
    b"|", b"\n", b"7", b"7.0", b"7.extern", b"7.batch", b"7+1", b"7_1", b"18446744073709551614",
    b"1e999", b"999999999P", b"99999-23:59:59", b"JobIDRaw", b"ConsumedEnergyRaw", b"\xff", b"\r",
)  # fmt: skip
_JOBS = (JobFacts("slurm", "7", node="n1"), JobFacts("slurm", "9", "7", "1", cluster="alps"), None)
_RUNS = [run_of(of_report(report_of(f"run-{i}", job=job)), None) for i, job in enumerate(_JOBS)]


def run(data: bytes, directory: Path) -> None:
    """Read the text: each run is in exactly one part, and no figure is negative or endless."""
    try:
        found = read(lines_of(data))
    except OutputError as error:
        assert "sacct --parsable2" in str(error)
        return
    assert all(problem.isprintable() for problem in found.problems)
    for job in found.jobs:
        figures = (job.energy_j, job.elapsed_s, job.nodes, job.cpus)
        assert all(one is None or (math.isfinite(one) and one >= 0) for one in figures)
        assert f"{job.job_id}{job.state}{job.cluster}".isprintable()
    joined = join(found.jobs, _RUNS)
    parts = [one for job in joined.jobs for one in job.runs]
    parts += [*joined.without_accounting, *joined.without_job]
    assert sorted(one.run_id for one in parts) == [one.run_id for one in _RUNS]
    for one in joined.jobs:
        assert one.covered is None or 0 <= one.covered <= 1
        assert one.ratio is None or 0 <= one.ratio.low <= one.ratio.high < math.inf
