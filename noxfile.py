"""The project's sessions: `nox` runs the tests on every Python found, and the checks."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import nox

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
CLAIMED = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if " :: Python :: 3." in line]
# A version manager may leave a stub for a Python that it does not run: ask, do not look.
PYTHONS = [python for python in CLAIMED if subprocess.getstatusoutput(f"python{python} --version")[0] == 0]
OLDEST = PYTHONS[0]

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "typing", "tests"]


def install_wheel(session: nox.Session, extras: str) -> None:
    """Build the wheel and install it, so that what is tested is what is shipped."""
    folder = session.create_tmp()
    session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ".")
    wheel = max(Path(folder).glob("*.whl"), key=lambda path: path.stat().st_mtime)
    session.install("-q", f"{wheel}[{extras}]")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the built wheel."""
    install_wheel(session, "dev")
    session.run("python", "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider", *session.posargs)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the tests on the oldest versions that are allowed."""
    install_wheel(session, "dev")
    session.install("-q", *[floor.replace(">=", "==") for floor in PROJECT["dependencies"]])
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *session.posargs)


@nox.session(python=PYTHONS)
def coverage(session: nox.Session) -> None:
    """Measure branch coverage; less than 95 % fails."""
    session.install("-q", "-e", ".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--fail-under=95")


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-q", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Check the package and the users' examples with two type checkers."""
    session.install("-q", "-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session(python=OLDEST)
def demo(session: nox.Session) -> None:
    """Run the demo."""
    install_wheel(session, "sandbox")
    session.run("python", "-m", "ideogram_async", "demo", "--folder", session.create_tmp(), *session.posargs)


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Run the benchmarks, beside the clients that people would use instead, and draw what was measured."""
    install_wheel(session, "dev")
    session.install("-q", "httpx", "matplotlib", "openai", "requests", "uvloop")
    for name in ("import_time", "calls", "upload", "durable", "slots", "tenant", "plot"):
        session.run("python", f"benchmarks/{name}.py")


@nox.session(name="bench-large", python=OLDEST)
def bench_large(session: nox.Session) -> None:
    """Run many thousands of jobs; takes minutes."""
    install_wheel(session, "dev")
    session.run("python", "benchmarks/large.py", *session.posargs)


@nox.session(python=OLDEST)
def build(session: nox.Session) -> None:
    """Build the source archive and the wheel into dist/."""
    session.install("-q", "build")
    session.run("python", "-m", "build")
