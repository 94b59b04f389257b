"""The README: what its tables say, its pictures, and its links wherever it is shown."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.paths import ROOT

from ideogram_async import Ideogram
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._namespaces_v2 import V2
from ideogram_async._operations import Endpoint, operations_of
from ideogram_async._prices import LEGACY, PER_CALL, bundled_prices
from ideogram_async.cli.app import make_app

README = (ROOT / "README.md").read_text(encoding="utf-8")
ENDPOINTS = {
    f"{prefix}{name}": request.endpoint
    for prefix, group in {"": Ideogram, "datasets.": Datasets, "models.": Models, "legacy.": Legacy}.items()
    for name, request in operations_of(group).items()
}
"""The endpoints of the first contract, by the method below `client`."""
RECORDER = runpy.run_path(str(ROOT / "docs" / "make_recording.py"))
LARGEST_PICTURE = 150_000
TABLE = dict(re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|$", README, re.MULTILINE))
"""The prices of the table of operations."""


def test_the_table_of_operations_is_complete() -> None:
    """Each operation of the first contract has a row, under the name of its method, and the second one a number."""
    others = README.partition("`client.v2.upscale_auto` and ")[2].partition(" more")[0]

    assert list(ENDPOINTS) == list(TABLE)
    assert len(operations_of(V2)) == int(others) + len(re.findall(r"`client\.v2\.\w+`", README))
    assert [] == [name for name in re.findall(r"`client\.v2\.(\w+)`", README) if name not in operations_of(V2)]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_table_of_operations_has_the_bundled_prices(name: str) -> None:
    """A row has the lowest and the highest price of an operation without references and custom models."""
    assert expected_price(ENDPOINTS[name]) == TABLE[name]


def expected_price(endpoint: Endpoint[object]) -> str:
    if not endpoint.charged:
        return "free"

    if endpoint.path in PER_CALL:
        return f"{bundled_prices()[PER_CALL[endpoint.path]].usd} a call"

    families = {"/v1/edit": "edit", "/v1/ideogram-v3/generate-transparent": "transparent-"} | dict.fromkeys(
        LEGACY, "V_"
    )
    family = families.get(endpoint.path, "v3." if endpoint.path.startswith("/v1/ideogram-v3/") else "none")
    prices = sorted(Decimal(str(price.usd)) for rate, price in bundled_prices().items() if rate.startswith(family))
    return " to ".join(str(price) for price in dict.fromkeys((prices[0], prices[-1]))) if prices else "unknown"


def test_the_links_lead_to_the_repository_on_the_package_index() -> None:
    """The description of the package has no relative links, and its pictures are files of the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = README
    for each in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)

    source = project["project"]["urls"]["Source"]
    raw = source.replace("github.com", "raw.githubusercontent.com") + "/main/"
    pictures = re.findall(r'(?:!\[[^\]]*\]\(|(?:src|srcset)=")([^)"]+)', text)
    pages = re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", text)
    relative = re.findall(r"(?<!!)\[[^\]]*\]\((docs/[^)]+)\)", README)

    assert 3 == len(pictures)
    assert [] == [link for link in pictures if not (ROOT / link.removeprefix(raw)).is_file()]
    assert [] == [link for link in pages if not link.startswith("https://")]
    assert [] == [link for link in relative if f"{source}/blob/main/{link}" not in pages]


@pytest.mark.cli
@pytest.mark.parametrize(("number", "shown"), [(0, "14, all done"), (1, "Nothing was sent.")], ids=["first", "table"])
def test_the_commands_run(number: int, shown: str, tmp_path: Path) -> None:
    """The commands of a batch work as printed, in a folder with the examples and a table of products."""
    arguments = shlex.split(re.findall(r"ideogram-async (batch run .+)", README)[number])
    copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "shop.csv").write_text("SKU,Description,Stock\nA-1,a red fox,3\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IDEOGRAM_")}
    command = [sys.executable, "-W", "error", "-m", "ideogram_async.cli", *arguments]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (0, "") == (process.returncode, process.stderr)
    assert shown in process.stdout
    assert ("--sandbox" in arguments) == (tmp_path / "out" / "gallery.html").exists()


def test_the_recorded_commands_exist() -> None:
    """The recording shows the commands of its script, and the command line accepts each of them."""
    root = ElementTree.parse(RECORDER["RECORDING"]).getroot()
    lines = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}

    assert [] == [command for command in RECORDER["COMMANDS"] if f"$ {command}" not in lines], "run: nox -s recording"
    for command in RECORDER["COMMANDS"]:
        words = shlex.split(command, comments=True)
        if words:
            arguments = words[words.index("ideogram-async") + 1 :]
            make_app().parse_args(arguments, exit_on_error=False, print_error=False)


def test_the_recording_is_a_picture_of_its_own() -> None:
    """The recording is well formed, runs no script, loads nothing, and stands still for readers who ask for that."""
    text = RECORDER["RECORDING"].read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    targets = [value for each in root.iter() for name, value in each.items() if name.endswith("href")]

    assert [] == [each.tag for each in root.iter() if each.tag.endswith(("script", "image", "foreignObject"))]
    assert [] == [target for target in targets if not target.startswith("#")]
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-reduced-motion" in text


def test_the_pictures_are_small() -> None:
    """A page with the pictures loads quickly, and both pictures of the gallery have the same size."""
    galleries = [RECORDER["PICTURES"] / f"gallery-{name}.webp" for name in RECORDER["SCHEMES"]]
    sizes = set()
    for path in galleries:
        with Image.open(path) as image:
            sizes.add(image.size)

    assert 1 == len(sizes)
    assert [] == [path.name for path in (*galleries, RECORDER["RECORDING"]) if path.stat().st_size > LARGEST_PICTURE]
