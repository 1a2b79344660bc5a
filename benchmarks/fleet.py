"""Measures an export of generated receipts: processor time, memory, and an added run.

    PYTHONPATH=core:.:tests python benchmarks/fleet.py            # 100,000 receipts
    PYTHONPATH=core:.:tests python benchmarks/fleet.py 5000 DIR   # fewer, kept there

Each export is a process of its own. `nox -s fleet` runs it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import fleet_receipts

CHILD = """
import json, resource, sys, time
begin = time.perf_counter()
from carbon_callbacks.cli import main
sys.argv = ["carbon-callbacks", *sys.argv[1:]]
try:
    status = main()
except SystemExit as end:
    status = end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"status": status, "wall_s": time.perf_counter() - begin,
    "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}))
"""


def export(source: Path, target: Path, form: str) -> str:
    command = [sys.executable, "-c", CHILD, "export", str(source), f"--{form}", str(target)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    *said, figures = done.stdout.splitlines()
    found = json.loads(figures)
    load = os.getloadavg()[0]
    return (
        f"{' '.join(said).rpartition(': ')[2]}: {found['cpu_s']:.1f} s of processor time, "
        f"{found['wall_s']:.1f} s, {found['rss_mb']:.0f} MB, load {load:.1f}"
    )


def add_a_run(source: Path, seed: int) -> None:
    (data,) = itertools.islice(fleet_receipts.receipts(1, seed), 1)
    path = source / "carbon_runs" / f"{data['run']['run_id']}.receipt.json"
    path.write_text(json.dumps(data, indent=2))


def main(count: int, directory: Path) -> None:
    source = directory / "in"
    if not source.exists():
        fleet_receipts.write(source, count)
    for form in ("parquet", "csv", "jsonl"):
        target = directory / form
        print(f"{form}: {export(source, target, form)}")
        for seed in range(3):
            add_a_run(source, 1_000_000 + seed)
            print(f"{form}: {export(source, target, form)}")
        size = sum(one.stat().st_size for one in target.rglob("*") if one.is_file())
        print(f"{form}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        main(number, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(number, Path(made))
