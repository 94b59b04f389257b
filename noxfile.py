"""Sessions of nox: tests on every available Python, style, types, coverage, benchmarks and the build."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import nox

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
SUPPORTED = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if " :: Python :: 3." in line]
# A version manager may leave a stub for a Python that it does not run, so run each one.
PYTHONS = [python for python in SUPPORTED if subprocess.getstatusoutput(f"python{python} --version")[0] == 0]
OLDEST = PYTHONS[0]
WORKERS = 3

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "typing", "tests"]


def install_wheel(session: nox.Session, extras: str) -> None:
    """Build the wheel from the source archive and install it, so that the tests cover what is published."""
    session.install("-q", "build")
    folder = Path(session.create_tmp())
    for old in folder.glob("*.whl"):
        old.unlink()

    session.run("python", "-m", "build", "--outdir", str(folder), silent=True)
    (wheel,) = folder.glob("*.whl")
    # A reused environment has a wheel of the same version already.
    session.install("-q", "--force-reinstall", "--no-deps", str(wheel))
    session.install("-q", f"{wheel}[{extras}]")


def run_tests(session: nox.Session, python: str = "python") -> None:
    """Run the tests against the installed wheel.

    `python -m pytest` puts the checkout first on `sys.path`, and so does a program that a test starts there. Both would
    hide the wheel; `tests/package/test_wheel.py` checks that neither does.
    """
    env = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "TESTED_ENVIRONMENT": session.virtualenv.location}
    session.run("pytest", f"--tx={WORKERS}*popen//python={python}", "-p", "no:cacheprovider", *session.posargs, env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the built wheel, in Python's development mode."""
    install_wheel(session, "dev")
    run_tests(session, python="python -X dev")


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the tests against the built wheel with the oldest dependencies that are allowed."""
    install_wheel(session, "dev")
    session.install("-q", *[floor.replace(">=", "==") for floor in PROJECT["dependencies"]])
    run_tests(session)


@nox.session(python=PYTHONS)
def coverage(session: nox.Session) -> None:
    """Measure branch coverage and fail below the limit in `pyproject.toml`."""
    session.install("-q", "-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-n", str(WORKERS), *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-q", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Check the package and the public API, as users call it, with two type checkers."""
    session.install("-q", "-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "ideogram_async", "--ignoreexternal")


@nox.session(python=OLDEST)
def demo(session: nox.Session) -> None:
    """Run the demo of the built wheel, outside the checkout."""
    install_wheel(session, "sandbox")
    with session.chdir(session.create_tmp()):
        session.run("python", "-m", "ideogram_async", "demo", "--folder", "demo", *session.posargs)


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Run the benchmarks next to the clients that are the alternatives, and draw the results."""
    install_wheel(session, "dev")
    session.install("-q", "httpx", "matplotlib", "openai", "requests", "uvloop")
    for name in ("import_time", "calls", "upload", "durable", "slots", "tenant", "plot"):
        session.run("python", f"benchmarks/{name}.py")

    session.run("python", "docs/make_benchmarks.py")


@nox.session(name="bench-large", python=OLDEST)
def bench_large(session: nox.Session) -> None:
    """Run a batch of many thousands of jobs; takes minutes."""
    install_wheel(session, "dev")
    session.run("python", "benchmarks/large.py", *session.posargs)
    session.run("python", "docs/make_benchmarks.py")


@nox.session(python=OLDEST)
def build(session: nox.Session) -> None:
    """Build the source archive, and the wheel from it, into dist/."""
    session.install("-q", "build")
    session.run("python", "-m", "build")
