"""A cluster of one node: jobs of a real Slurm, what their runs record, and what its `sacct` prints.

`nox -s slurm` runs it. It needs root, and Debian's programs:

    apt-get install slurmctld slurmd slurm-client slurmdbd mariadb-server-core mariadb-client
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from carbon_core.accounting.slurm_text import COMMAND, read

PROGRAMS = (
    "slurmctld", "slurmd", "slurmdbd", "sacct", "sacctmgr", "sbatch", "srun", "mariadbd",
    "mariadb-install-db", "mariadb", "my_print_defaults",
)  # fmt: skip
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
PATIENCE_S = 120.0
ROOT = Path(__file__).parents[2]
SLURM_CONF = """
ClusterName=alps
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={directory}/slurmctld
SlurmdSpoolDir={directory}/slurmd
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AcctGatherEnergyType=acct_gather_energy/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[2]}
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SLURMDBD_CONF = """
AuthType=auth/none
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports[2]}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile={directory}/slurmdbd.log
PidFile={directory}/slurmdbd.pid
"""
SCRIPT = """#!/bin/bash
#SBATCH --job-name=train|evaluate
#SBATCH --output={directory}/%j.out
{python} -m carbon_callbacks run --set output_dir={directory}/results -- sleep 2
srun --overlap {python} -m carbon_callbacks run --set output_dir={directory}/results -- true
"""

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not root"),
]


class Cluster(NamedTuple):
    """A running Slurm."""

    directory: Path
    environ: Mapping[str, str]

    def output(self, *command: str) -> str:
        """Return what a command prints."""
        done = subprocess.run(
            command, env=dict(self.environ), cwd=self.directory, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def execute(self, statement: str) -> str:
        """Execute SQL in the accounting's database."""
        connection = ["--no-defaults", f"--socket={self.directory}/my.sock", "slurm"]
        return self.output("mariadb", *connection, "-N", "-e", statement)


def until(is_done: Callable[[], Any]) -> Any:
    """Return the first true value of a function, which may raise before."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := is_done():
                return found
        except (AssertionError, OSError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("slurm")
    known = {
        "directory": directory,
        "ports": free_ports(3),
        "host": socket.gethostname().split(".")[0],
    }
    for name, text in (("slurm.conf", SLURM_CONF), ("slurmdbd.conf", SLURMDBD_CONF)):
        (directory / name).write_text(text.format(**known))
        (directory / name).chmod(0o600)
    (directory / "slurmctld").mkdir()
    (directory / "slurmd").mkdir()
    environ = {name: value for name, value in os.environ.items() if "CODECARBON" not in name}
    environ |= {
        "SLURM_CONF": str(directory / "slurm.conf"),
        "MYSQL_UNIX_PORT": str(directory / "my.sock"),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "core"))),
        "HOME": str(directory),
    }
    made = Cluster(directory, environ)
    own = ["--no-defaults", "--user=root", f"--datadir={directory}/db"]
    made.output("mariadb-install-db", *own, "--auth-root-authentication-method=normal")
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: str, is_ready: Callable[[], Any]) -> None:
        log = (directory / f"{command[0]}.out").open("wb")
        daemons.append(
            subprocess.Popen(command, env=environ, cwd=directory, stdout=log, stderr=log)
        )
        until(is_ready)

    try:
        database = [*own, f"--socket={directory}/my.sock", "--skip-networking"]
        start("mariadbd", *database, is_ready=(directory / "my.sock").exists)
        start("slurmdbd", "-D", is_ready=lambda: made.output("sacctmgr", "-n", "show", "config"))
        until(lambda: "alps" in made.output("sacctmgr", "-i", "add", "cluster", "alps"))
        start("slurmctld", "-D", "-c", is_ready=lambda: made.output("sinfo", "-h"))
        start("slurmd", "-D", is_ready=lambda: "idle" in made.output("sinfo", "-h", "-o", "%T"))
        yield made
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def jobs(cluster: Cluster) -> list[str]:
    """Return the ids of a job and of an array of two, which are over."""
    script = cluster.directory / "train.sbatch"
    script.write_text(SCRIPT.format(directory=cluster.directory, python=sys.executable))
    ids = []
    for options in ((), ("--array=0-1",)):
        printed = cluster.output("sbatch", "--parsable", *options, str(script))
        ids.append(printed.strip().split(";")[0])
    until(lambda: not cluster.output("squeue", "-h"))
    until(lambda: cluster.output("sacct", "-nPX", "-o", "State").split() == ["COMPLETED"] * 3)
    return ids


def accounting(cluster: Cluster, form: str = COMMAND) -> str:
    return cluster.output(*form.split())


def test_runs_record_their_job_and_step(cluster: Cluster, jobs: list[str]) -> None:
    receipts = (cluster.directory / "results").glob("carbon_runs/*.receipt.json")
    found = [json.loads(path.read_text())["run"]["job"] for path in receipts]
    assert {one["scheduler"] for one in found} == {"slurm"}
    assert {one["cluster"] for one in found} == {"alps"}
    assert {one["node"] for one in found} == {socket.gethostname().split(".")[0]}
    assert {one["user"] for one in found} == {""}
    single = [one for one in found if one["job_id"] == jobs[0]]
    assert sorted(one["step"] for one in single) == ["", "0"]
    of_array = {one["array_index"] for one in found if one["array_id"] == jobs[1]}
    assert of_array == {"0", "1"}


def test_the_text_of_sacct_is_read_in_each_form(cluster: Cluster, jobs: list[str]) -> None:
    expected = [jobs[0], f"{jobs[1]}_0", f"{jobs[1]}_1"]
    for options in ("", " --parsable", " --allocations"):
        found = read(accounting(cluster, COMMAND + options).splitlines())
        assert ([job.job_id for job in found.jobs], found.problems) == (expected, ())
    named = COMMAND.replace("--format=", "--format=JobName,ConsumedEnergy,Elapsed,")
    assert [job.job_id for job in read(accounting(cluster, named).splitlines()).jobs] == expected


def test_the_command_joins_runs_with_the_jobs_of_sacct(cluster: Cluster, jobs: list[str]) -> None:
    python = [sys.executable, "-m", "carbon_callbacks", "sacct", "results"]
    found = json.loads(cluster.output(*python, "--json"))
    assert [len(job["run_ids"]) for job in found["jobs"]] == [2, 2, 2]
    assert found["runs_without_accounting"] == found["runs_without_job"] == []
    assert {job["energy_j"] for job in found["jobs"]} == {None}
    # This machine may have no meter that Slurm can read: its database gets the energy.
    cluster.execute(
        "update alps_job_table set tres_alloc = concat(tres_alloc, ',3=1234567') "
        f"where id_job = {jobs[0]}"
    )
    found = json.loads(cluster.output(*python, "--json"))
    (first, *others) = found["jobs"]
    assert (first["job_id"], first["energy_j"]) == (jobs[0], 1_234_567)
    assert 0 < first["ratio"]["value"] < 1
    assert [job["energy_j"] for job in others] == [None, None]
    rounded = accounting(cluster, "sacct -P --format=JobID,ConsumedEnergy")
    assert re.search(rf"^{jobs[0]}\|1\.23M$", rounded, re.MULTILINE)
    assert read(rounded.splitlines()).jobs[0].energy_j == 1_230_000
