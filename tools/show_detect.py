"""Prints the output of ``carbon-callbacks detect`` on a simulated machine, for docs/detect.md.

The machines are trees of files: without meters, with all meters, with counters that only root may read,
and with a slice of a GPU (MIG). The GPUs are simulated by the tests' stand-in for the driver's library,
which the real pynvml loads.

    PYTHONPATH=core:.:tests python tools/show_detect.py bare|full|closed|mig
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nvml_standin.standin import PowerCurve, build, environment

from carbon_core.testing import RaplTree

_NO_PERMISSION = 4
SHOW = """
import contextlib, encodings.ascii, io, os, sys
import psutil  # a root without files of its own is read by it
from pathlib import Path
sys.path[:0] = os.environ["SHOW_PATH"].split(os.pathsep)
from carbon_callbacks.cli import detect
if len(sys.argv) > 2:
    with contextlib.redirect_stdout(io.StringIO()):
        detect.run(as_json=False)  # imports the modules that only root may import
    os.setuid(65534)
detect.run(as_json=False, root=Path(sys.argv[1]))
"""
CPU_INFO = """\
processor : 0
vendor_id : GenuineIntel
model name : Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz
physical id : 0
cpu cores : 20
siblings : 40
"""


def show(root: Path, *flags: str, **environ: str) -> None:
    """Run the command on a simulated machine and print its output."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, str(root), *flags],
        env={
            "PATH": os.environ["PATH"],
            "SHOW_PATH": os.pathsep.join(sys.path),
            "COLUMNS": "110",
            "HOME": str(root),
            **environ,
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    print(done.stdout.rstrip())


def machine(root: Path) -> Path:
    """Create a machine with a processor and no counters."""
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text(CPU_INFO)
    return root


def with_counters(root: Path) -> Path:
    """Create a machine of two sockets with memory counters."""
    tree = RaplTree(machine(root))
    for socket in (0, 1):
        package = tree.zone(f"intel-rapl:{socket}", f"package-{socket}")
        tree.set_joules(package, 1000.0 * (socket + 1))
        dram = tree.zone(f"intel-rapl:{socket}:0", "dram")
        tree.set_joules(dram, 100.0 * (socket + 1))
    return root


def main(name: str) -> None:
    """Print the output on the machine of a name."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        place.chmod(0o755)
        if name == "bare":
            show(machine(place / name))
            return
        library = build(place)
        if name == "full":
            gpus = environment(library.parent, gpus=2, curve=PowerCurve.constant(300.0))
            show(with_counters(place / name), **gpus)
        elif name == "closed":
            closed = with_counters(place / name)
            for counter in closed.rglob("energy_uj"):
                counter.chmod(0o400)
            refusing = environment(
                library.parent, supports=("power",), capability=8.6, refusal=_NO_PERMISSION
            )
            show(closed, "as nobody", **refusing)
        else:
            cut = environment(library.parent, mig=(3, 4))
            chosen = {"CUDA_VISIBLE_DEVICES": "MIG-00000000-0000-0000-0000-000000000000"}
            show(machine(place / name), **cut, **chosen)


if __name__ == "__main__":
    main(sys.argv[1])
