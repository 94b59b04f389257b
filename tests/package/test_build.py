"""Archives that are published: their contents, and the same bytes from each copy of the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen
from support.paths import ROOT

pytest.importorskip("hatch_fancy_pypi_readme")
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
ALWAYS = {".gitignore", "LICENSE", "pyproject.toml"}
SOURCES = {name.strip("/") for name in CONFIGURATION["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]} | ALWAYS
NOT_PUBLISHED = {".git", ".github", ".pre-commit-config.yaml"}
DATA = {
    ".agents/skills/ideogram-async/SKILL.md",
    "_batch/gallery/data.js",
    "_batch/gallery/grid.js",
    "_batch/gallery/page.css",
    "_batch/gallery/page.html",
    "_batch/gallery/page.js",
    "_batch/gallery/picks.js",
    "_batch/gallery/viewer.js",
    "integrations/redis/slots.lua",
    "prices.json",
    "py.typed",
    "sandbox/contract.json",
    "sandbox/contract_v2.json",
}
"""Files of the package that are not modules."""
STRAYS = (
    ".coverage.host.1",
    ".hypothesis/unicode_data/1",
    "build/lib/ideogram_async/old.py",
    "dist/ideogram_async-0.0.1.tar.gz",
    "docs/.ruff_cache/1",
    "ideogram_async/__pycache__/errors.cpython-311.pyc",
    "ideogram_async/_batch/.mypy_cache/1.json",
    "out/gallery.html",
    "tests/__pycache__/conftest.cpython-311.pyc",
    "tests/.pytest_cache/README.md",
)
"""Files that tools leave in a checkout."""


@frozen
class Archives:
    """A wheel and a source archive."""

    wheel: Path
    source: Path


def copy_sources(target: Path) -> Path:
    """Copy what is published, and its configuration, without the caches of tools."""
    caches = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=caches)
        elif (ROOT / name).exists():
            target.mkdir(exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)

    return target


def build(checkout: Path) -> Archives:
    """Build both archives of a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", checkout.parent / "dist", "-t", "sdist", "-t", "wheel"]
    subprocess.run(command, cwd=checkout, capture_output=True, check=True)
    (wheel,), (source,) = ((checkout.parent / "dist").glob(pattern) for pattern in ("*.whl", "*.tar.gz"))
    return Archives(wheel, source)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Return archives of this checkout."""
    return build(copy_sources(tmp_path_factory.mktemp("first") / "checkout"))


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        return message_from_bytes(file.read(name))


def modules() -> set[str]:
    return {str(path.relative_to(ROOT / "ideogram_async")) for path in (ROOT / "ideogram_async").rglob("*.py")}


def top_level(names: Iterable[str]) -> set[str]:
    return {Path(name).parts[1] for name in names}


def test_the_wheel_has_the_package_and_its_metadata(archives: Archives):
    """The wheel has the modules, the data files and the metadata, and nothing else."""
    information = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    version = archives.wheel.name.split("-")[1]
    with ZipFile(archives.wheel) as wheel:
        names = set(wheel.namelist())

    assert {f"ideogram_async/{name}" for name in modules() | DATA} | {
        f"ideogram_async-{version}.dist-info/{name}" for name in information
    } == names


def test_the_source_archive_has_what_is_tracked(archives: Archives):
    """The source archive has each file and folder of the top level that is tracked, unless it serves the host alone."""
    with tarfile.open(archives.source) as source:
        names = source.getnames()

    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a clone")

    expected = {Path(name).parts[0] for name in tracked.stdout.split("\0") if name} - NOT_PUBLISHED
    assert expected | {"PKG-INFO"} == top_level(names)


def test_another_copy_gives_the_same_bytes(archives: Archives, tmp_path: Path):
    """Neither the folder, the age and the permissions of the files nor what tools leave there changes an archive."""
    checkout = copy_sources(tmp_path / "another folder")
    for stray in STRAYS:
        (checkout / stray).parent.mkdir(parents=True, exist_ok=True)
        (checkout / stray).write_text("stray")

    (checkout / "ideogram_async" / "errors.py").chmod(0o600)
    other = build(checkout)

    assert archives.source.read_bytes() == other.source.read_bytes()
    assert archives.wheel.read_bytes() == other.wheel.read_bytes()


def test_the_source_archive_gives_the_same_wheel(archives: Archives, tmp_path: Path):
    """A wheel that is built from the source archive is the one that is built from the checkout."""
    with tarfile.open(archives.source) as source:
        source.extractall(tmp_path, filter="data")

    (checkout,) = tmp_path.iterdir()

    assert archives.wheel.read_bytes() == build(checkout).wheel.read_bytes()


def test_links_of_the_description_are_absolute(archives: Archives):
    """The description is the README with links that work outside a checkout."""
    text = str(metadata(archives.wheel).get_payload())

    assert "](https://github.com/ideogram-async/ideogram-async/blob/main/docs/" in text
    assert "](docs/" not in text


def test_the_metadata(archives: Archives):
    """The metadata has the license, the oldest Python, the addresses and the extras."""
    message = metadata(archives.wheel)

    assert ("MIT", ["LICENSE"], ">=3.11") == (
        message["License-Expression"],
        message.get_all("License-File"),
        message["Requires-Python"],
    )
    assert {"Changelog", "Documentation", "Issues", "Source"} == {
        address.partition(",")[0] for address in message.get_all("Project-URL", [])
    }
    assert set(CONFIGURATION["project"]["optional-dependencies"]) == set(message.get_all("Provides-Extra", []))


def test_the_pythons_of_the_metadata_are_tested(archives: Archives):
    """The classifiers name the Pythons, and the operating system, on which the workflow runs the tests of the wheel."""
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if not workflow.exists():
        pytest.skip("not a clone")

    text = workflow.read_text()
    classifiers = metadata(archives.wheel).get_all("Classifier", [])
    systems = [line for line in classifiers if line.startswith("Operating System")]
    pythons = {line.rpartition(" ")[2] for line in classifiers if ":: Python :: 3." in line}

    assert set(re.findall(r"session: tests-([\d.]+)", text)) == pythons
    assert ["Operating System :: POSIX :: Linux"] == systems
    assert {"ubuntu-24.04"} == set(re.findall(r"runs-on: (\S+)", text))
