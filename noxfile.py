"""Everything that is run on this project: `nox -l` lists it, `nox -s demo` shows it at work.

Versions and groups are read from pyproject.toml. Environments are reused; `nox -R` skips installs.
"""

from __future__ import annotations

import ctypes
import os
import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "imports", "tests"]

ROOT = Path(__file__).parent
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
# The frameworks would otherwise look for hubs and trackers on the network.
OFFLINE = {"HF_HUB_OFFLINE": "1", "KERAS_BACKEND": "torch", "TOKENIZERS_PARALLELISM": "false"}
# Fault tests judge real processes against deadlines; a noisy neighbour may cost one its first try.
# What was run again is listed at the end (-rR): a test that needs it often has found something.
PYTEST = ["pytest", "--reruns=1", "-rR"]
CORE_TESTS = ["tests/core", "tests/properties"]
# The same as in .pre-commit-config.yaml.
LINT = ["ruff check .", "ruff format --check ."]


def offer_pyenv() -> None:
    """Let pyenv's `python3.10` and its like be found, where the interpreters lie under pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    running = ".".join(map(str, sys.version_info[:3]))
    newest = [max(root.glob(f"{python}.*"), default=None) for python in PYTHONS]
    versions = [running, *(path.name for path in newest if path is not None)]
    if root.is_dir():
        os.environ.setdefault("PYENV_VERSION", ":".join(dict.fromkeys(versions)))


offer_pyenv()


def install_frameworks(session: nox.Session) -> None:
    """Install torch first and by its exact version: a range would bring a build of several GB."""
    torch, *others = GROUPS["frameworks"]
    session.install(torch)
    session.install(*others)


@nox.session
def demo(session: nox.Session) -> None:
    """Train on handwritten digits with each framework and show what it took."""
    install_frameworks(session)
    session.install("-e", ".[cli]")
    session.run("python", "examples/demo.py", *session.posargs, env=OFFLINE)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite with all frameworks; `core` runs the core's tests on the other Pythons."""
    install_frameworks(session)
    session.install(*GROUPS["test"], *GROUPS["fast"], "-e", ".")
    if session.posargs:
        session.run(*PYTEST, *session.posargs, env=OFFLINE)
        return
    paths = [*CORE_TESTS, "tests/adapters"]
    others = [*PYTEST, *(f"--ignore={path}" for path in paths)]
    run_all(session, quick(paths), [*PYTEST, "-m", "slow", *paths], others)


def quick(paths: Sequence[str]) -> list[str]:
    """Return the command for the quick tests of directories, two at a time.

    Those that take seconds judge processes and time, which others beside them would change.
    """
    return [*PYTEST, "-n", "2", "-m", "not slow", *paths]


def run_all(session: nox.Session, *commands: Sequence[str]) -> None:
    """Run commands, also those after one that fails; then fail at the end."""
    failed = []
    for command in commands:
        try:
            session.run(*command, env=OFFLINE)
        except nox.command.CommandFailed:
            failed.append(" ".join(command))
    if failed:
        session.error(f"failed: {'; '.join(failed)}")


ADAPTERS = runpy.run_path(os.fspath(ROOT / "carbon_callbacks" / "_adapters.py"))["ADAPTERS"]
ROWS = {session: row for row in ADAPTERS for session in row.sessions}


def install_adapter(
    session: nox.Session, name: str, group: str, *constraints: str
) -> dict[str, str]:
    """Install one framework and no other; return the environment variables of its tests."""
    row = ROWS[name]
    if row.needs_torch:
        session.install(GROUPS["frameworks"][0])
    packages = row.sessions[name]
    session.install(*GROUPS[group], *packages, *constraints, "-e", f".[{row.extra}]")
    return {**OFFLINE, "KERAS_BACKEND": name.partition("-")[2] or OFFLINE["KERAS_BACKEND"]}


def test_adapter(session: nox.Session, name: str, *constraints: str) -> None:
    """Run one framework's tests."""
    env = install_adapter(session, name, "test", *constraints)
    session.run(*PYTEST, f"tests/adapters/{ROWS[name].tests}", *session.posargs, env=env)


# What is used together with a framework, in its newest version.
COMPANIONS = {
    "transformers": ["datasets", "ipython", "trl"],
    "keras": ["keras-tuner", "six", "tensorboard", "pandas"],
}


def test_upstream(session: nox.Session, name: str, *constraints: str) -> None:
    """Compare one framework's trainings with and without the callback, and print the table."""
    env = install_adapter(session, name, "upstream", *constraints)
    companions = COMPANIONS.get(ROWS[name].name, [])
    if companions and not constraints:
        session.install(*companions)
    tests = [f"tests/upstream/{file}" for file in ("test_harness.py", ROWS[name].tests)]
    session.run("pytest", "-q", "-rfEs", "--show-capture=no", *tests, *session.posargs, env=env)


def oldest(name: str) -> list[str]:
    """Return the oldest versions that are promised for a framework, as requirements."""
    promised = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    return [one.replace(">=", "==") for one in promised[ROWS[name].extra]]


def each(names: Iterable[str]) -> Callable[..., Any]:
    """Return a decorator that makes a session for each of some names."""
    return nox.parametrize("name", [nox.param(name, id=name) for name in names])


# The oldest version of a framework is tested in one variant.
OLDEST = [next(iter(row.sessions)) for row in ADAPTERS]
COMPARED = [name for name in ROWS if (ROOT / "tests" / "upstream" / ROWS[name].tests).exists()]


def package_of(requirement: str) -> str:
    """Return the package of a requirement."""
    return re.split(r"[\[<>=]", requirement)[0]


@nox.session
def other_adapters(session: nox.Session) -> None:
    """Run the tests of the adapters whose frameworks `tests` does not install."""
    installed = {package_of(one) for one in GROUPS["frameworks"]}
    rows = [row for row in ADAPTERS if not installed.issuperset(map(package_of, row.requirements))]
    session.install(GROUPS["frameworks"][0])
    packages = {one for row in rows for one in row.requirements}
    session.install(*GROUPS["test"], *sorted(packages), "-e", ".")
    for row in rows:  # a process for each, as users have them
        session.run(*PYTEST, f"tests/adapters/{row.tests}", *session.posargs, env=OFFLINE)


@nox.session
@each(ROWS)
def adapters(session: nox.Session, name: str) -> None:
    """Run each framework's tests alone, Keras' on each of its backends."""
    test_adapter(session, name)


@nox.session
@each(OLDEST)
def minimums(session: nox.Session, name: str) -> None:
    """Run each framework's tests with the oldest version that is promised."""
    test_adapter(session, name, *oldest(name))


@nox.session
@each(COMPARED)
def upstream(session: nox.Session, name: str) -> None:
    """Compare trainings with and without the callback, in every way of using a Trainer."""
    test_upstream(session, name)


@nox.session
@each([name for name in OLDEST if name in COMPARED])
def upstream_minimums(session: nox.Session, name: str) -> None:
    """Compare trainings with and without the callback in the oldest versions that are promised."""
    test_upstream(session, name, *oldest(name))


# Libraries that train with a framework, by the package that is installed.
WORKS_IN = ROOT / "tests" / "works_in"
LIBRARIES = {
    one.package: one for one in runpy.run_path(str(WORKS_IN / "libraries.py"))["LIBRARIES"]
}


@nox.session
@nox.parametrize("package", [nox.param(package, id=package) for package in LIBRARIES])
def works_in(session: nox.Session, package: str) -> None:
    """Train in libraries of others, with and without the callback; write docs/works-in.md."""
    library = LIBRARIES[package]
    # One at a time, so that each library decides about the versions of its own requirements.
    torch = GROUPS["frameworks"][0]
    session.install(torch)
    extra = library.framework.replace("_", "-")
    session.install(torch, package, *library.requirements, "pytest>=8", "-e", f".[{extra}]")
    test = WORKS_IN / f"{library.module}.py"
    session.run("pytest", "-q", "--record", str(test), *session.posargs, env=OFFLINE)
    session.run("python", "tools/write_works_in.py")


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """Run the core's tests without any framework, and against the wheel instead of the checkout.

    The newest Python runs everything, whose changes processes and threads notice; the others not what
    takes seconds.
    """
    session.install(*GROUPS["test"], *GROUPS["fast"])
    session.install("--force-reinstall", "--no-deps", ".")
    session.install(".")
    wheel = ["-o", "pythonpath=tests tests/fuzz tools"]
    if session.posargs:
        session.run(*PYTEST, *wheel, *session.posargs)
        return
    commands = [quick(CORE_TESTS)]
    if session.python == PYTHONS[-1]:
        commands += [[*PYTEST, "-m", "slow", *CORE_TESTS], [*PYTEST, "tests/faults"]]
    run_all(session, *([*command, *wheel] for command in commands))


def run_lint(session: nox.Session) -> None:
    """Run ruff."""
    for command in LINT:
        session.run(*command.split())


@nox.session
def fast(session: nox.Session) -> None:
    """Check style and run the quick tests of the core: what to run before each commit."""
    session.install(*GROUPS["lint"], *GROUPS["test"], *GROUPS["fast"], "-e", ".")
    run_lint(session)
    tests = session.posargs or ["tests/core", "tests/properties", "tests/packaging"]
    session.run("pytest", "-q", "-n", "2", "-m", "not slow", *tests)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*GROUPS["lint"])
    run_lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy (strict) and pyright."""
    session.install(*GROUPS["types"], *GROUPS["test"], "-e", ".")
    session.run("mypy")
    session.run("mypy", "tests/typing/user_code.py")
    session.run("pyright")


@nox.session
def imports(session: nox.Session) -> None:
    """Check the layers."""
    session.install(*GROUPS["imports"], "-e", ".")
    session.run("lint-imports")


@nox.session
def dashboards(session: nox.Session) -> None:
    """Check the dashboard and the rules by Debian's Prometheus, which is unpacked, not installed."""
    session.install(*GROUPS["test"], "grafana-foundation-sdk", "-e", ".")
    tests = ["tests/core/dashboards", "tests/core/cli/test_dashboards.py"]
    env = {}
    if shutil.which("promtool") is None and shutil.which("apt-get") is not None:
        place = Path(session.create_tmp()).resolve()
        with session.chdir(place):
            session.run("apt-get", "download", "prometheus", external=True)
            (package,) = place.glob("prometheus_*.deb")
            session.run("dpkg-deb", "-x", str(package), "debian", external=True)
            package.unlink()
        env["PATH"] = os.pathsep.join([str(place / "debian" / "usr" / "bin"), os.environ["PATH"]])
    session.run(*PYTEST, *tests, *session.posargs, env=env)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel, run the tests of the package and the pages with it, and freeze a program."""
    session.install("build", *GROUPS["freeze"], *GROUPS["test"])
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist))
    (wheel,) = dist.glob("*.whl")
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(str(wheel))
    with session.chdir(session.create_tmp()):
        config = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}"]
        paths = f"pythonpath={ROOT / 'tests'} {ROOT / 'tools'}"
        session.run(*PYTEST, *config, "-o", paths, str(ROOT / "tests/packaging"))


@nox.session
def paper(session: nox.Session) -> None:
    """Compile the LaTeX of a disclosure; needs pdflatex and bibtex (Debian: texlive-latex-base)."""
    if shutil.which("pdflatex") is None or shutil.which("bibtex") is None:
        session.error("pdflatex and bibtex are missing; Debian has them in texlive-latex-base")
    session.install(*GROUPS["test"], "-e", ".")
    names = ("latex", "paper", "sci_and_paper_of_files")
    tests = [f"tests/core/disclosure/test_{name}.py" for name in names]
    session.run("pytest", "-q", *tests, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with CodeCarbon, side by side, and print the ratios."""
    install_frameworks(session)
    session.install(*GROUPS["bench"], "-e", ".")
    session.run("python", "benchmarks/bench.py", *session.posargs, env=OFFLINE)


@nox.session
def accuracy(session: nox.Session) -> None:
    """Compare with CodeCarbon on a machine whose every joule is known, and print the errors."""
    session.install(*GROUPS["bench"], "-e", ".")
    session.run("python", "benchmarks/accuracy.py", *session.posargs)


def why_no_gpu() -> str | None:
    """Return why there is no NVIDIA GPU to check, or None if there is one."""
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    count = ctypes.c_uint()
    try:
        nvml = ctypes.CDLL(name)
    except OSError as error:
        return f"no NVIDIA driver: {error}"
    if code := nvml.nvmlInit_v2():
        return f"the NVIDIA driver does not respond (NVML error {code})"
    code = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlShutdown()
    return None if not code and count.value else "the NVIDIA driver finds no GPU"


@nox.session
def gpu(session: nox.Session) -> None:
    """Check the meters of an NVIDIA GPU under load, and the cost of the callback for each step.

    Takes about two minutes after the install; `nox -s gpu -- --load 10 --json` is shorter, as JSON.
    """
    if reason := why_no_gpu():
        session.skip(reason)
    # The default build of torch, with CUDA: the pinned one of the other sessions may be without.
    session.install("torch", "-e", ".[cli]")
    # The grades of processors and memory are not what is checked here.
    arguments = session.posargs or ["--load", "30"]
    session.run("carbon-callbacks", "doctor", "--at-least", "E", *arguments)


@nox.session
def fleet(session: nox.Session) -> None:
    """Export 100,000 generated receipts: answer the questions about them, and measure the export.

    Takes minutes; `nox -s fleet -- 5000` is shorter.
    """
    session.install(*GROUPS["test"], "moto[server]", "s3fs", "pyftpdlib", "-e", ".[fleet]")
    count = session.posargs[0] if session.posargs else "100000"
    session.run("pytest", "-q", "tests/core/fleet", "-k", "not csv and not jsonl",
                env={"CARBON_FLEET_RUNS": count})  # fmt: skip
    env = {"PYTHONPATH": os.pathsep.join(map(os.fspath, (ROOT, ROOT / "core", ROOT / "tests")))}
    session.run("python", "benchmarks/fleet.py", count, env=env)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Search for inputs that the readers of files and answers cannot handle; 15 s each.

    The long form is `nox -s fuzz -- --inputs 100000`; for one, `nox -s fuzz -- --seconds 600 journal`.
    """
    # Seeds are made with the fixtures of the tests.
    session.install(*GROUPS["test"], "-e", ".")
    # It has wheels for Linux only; Hypothesis takes its place.
    session.run("pip", "install", "-q", "atheris", success_codes=[0, 1], silent=True)
    found = os.fspath(ROOT / ".fuzz")
    session.run("python", "tests/fuzz/fuzz.py", f"--found={found}", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Simulate trainings with a known truth: do the intervals contain it? Writes docs/uncertainty.md.

    Takes some minutes; `nox -s coverage -- --runs 50 "RAPL"` simulates some families and writes nothing.
    """
    session.install("-e", ".")
    arguments = session.posargs or ["--write"]
    env = {"PYTHONPATH": os.fspath(ROOT / "tests")}
    session.run("python", "-m", "coverage_simulation", *arguments, env=env)


@nox.session
def compat(session: nox.Session) -> None:
    """Resolve generated configurations with CodeCarbon, too; every difference is in the docs."""
    session.install(*GROUPS["compat"], *GROUPS["test"], "-e", ".")
    session.run("pytest", "-W", "ignore", "tests/compat", *session.posargs)


@nox.session
def loggers(session: nox.Session) -> None:
    """Log to MLflow and W&B, without a network; the other sessions install no W&B."""
    install_frameworks(session)
    session.install(*GROUPS["test"], "wandb", "-e", ".")
    tests = ["tests/core/test_loggers.py", "tests/adapters/test_receipt_artifacts.py"]
    session.run("pytest", "-rs", *tests, *session.posargs, env=OFFLINE)


@nox.session
def slurm(session: nox.Session) -> None:
    """Start a real Slurm of one node, with its accounting; needs root and Debian's programs."""
    session.install(*GROUPS["test"], "-e", ".[cli]")
    session.run("pytest", "-rs", "tests/slurm", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site, in site/; a broken link or a warning is an error."""
    session.install(*GROUPS["docs"], "pytest>=8", "playwright>=1.40")
    # The theme otherwise prints an advertisement, which is no warning about the pages.
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("pytest", "-q", "tests/packaging/test_site.py")


@nox.session
def outputs(session: nox.Session) -> None:
    """Run the code of the documents, and write what it prints into them; names select documents."""
    install_frameworks(session)
    session.install(*GROUPS["test"], "-e", ".[report]")
    env = {**OFFLINE, "PYTHONPATH": os.fspath(ROOT / "tests")}
    session.run("python", "tools/write_outputs.py", *session.posargs, env=env)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the pictures of the documents again; needs Chromium."""
    install_frameworks(session)
    session.install("playwright", "pyte", "-e", ".[report]")
    env = {**OFFLINE, "PYTHONPATH": os.fspath(ROOT / "examples")}
    session.run("python", "tools/take_pictures.py", env=env)
    session.run("python", "tools/take_tensorboard.py", env=env)
    session.run("python", "tools/take_notebook.py", env=env)
    session.run("python", "tools/take_terminal.py", env=env)


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example; `nox -s examples -- keras lightning` runs one for each adapter named."""
    install_frameworks(session)
    shown = [row for row in ADAPTERS if row.example]
    chosen = {row.example for row in shown if row.name in session.posargs}
    needed = [
        one for row in shown if not chosen or row.example in chosen for one in row.requirements
    ]
    # With PyTorch's version once more: an adapter whose framework needs another one is an error here.
    session.install(GROUPS["frameworks"][0], *GROUPS["examples"], *needed, "-e", ".[cli]")
    # Not nox' own: Ray waits for ever where the temporary directory is within the environment.
    with tempfile.TemporaryDirectory() as output:
        for path in sorted((ROOT / "examples").glob("*_*.py")):
            if not chosen or path.name in chosen:
                session.run("python", os.fspath(path), output, env=OFFLINE)
