"""The programs of the skill for coding agents: whatever fails, the sandbox bills no image twice."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clients import CANARY
from support.sandbox_process import SandboxProcess
from support.serving import serving
from support.skill import TEXT, program

from ideogram_async import Billed, Ideogram, IdeogramError, InvalidRequestError, Retry, read_jobs, v2
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Fault, Sandbox

ROUTES = ["/orders/4711/image", "/images"]
KEY = {"Idempotency-Key": "4711"}
ORDER = {"prompt": "a red fox"}
ROWS = 30
LIMIT = 10
"""Images in progress at once."""
FAULTS = {
    "reset_before_headers": Fault.reset_before_headers,
    "reset_after_headers": Fault.reset_after_headers,
    "timeout": Fault.hang,
    "500": Fault.status(500),
    "503": Fault.status(503),
    "html_502": Fault.html_502,
}
THROTTLED = Fault.status(429, headers={"Retry-After": "0"})


@pytest.fixture
def folder(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder, in which clients use the sandbox of the test and time out soon."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", sandbox.url)
    monkeypatch.setenv("IDEOGRAM_TIMEOUT", "1")
    (tmp_path / "products.csv").write_text(products())
    return tmp_path


def products() -> str:
    return "sku,title,stock\n" + "".join(f"mug-{n},blue mug number {n},{n}\n" for n in range(ROWS))


def load(name: str) -> dict[str, Any]:
    """Run a program of the skill, and return its names."""
    names: dict[str, Any] = {"__name__": "skill"}
    # FastAPI evaluates the annotations of a route in its globals.
    exec(compile(program(name), name, "exec", dont_inherit=True), names)
    return names


async def post(url: str, route: str) -> int:
    async with aiohttp.ClientSession(url, headers=KEY) as http, http.post(route, json=ORDER) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize(
    ("fault", "prompt", "name"),
    [
        (None, "", "InvalidRequestError"),
        (Fault.status(429), "a fox", "RateLimitError"),
        (None, "unsafe-prompt", "SafetyError"),
        (Fault.reset_before_headers, "a fox", "AmbiguousError"),
        (Fault.status(500), "a fox", "ServerError"),
        (Fault.garbage_json, "a fox", "DecodeError"),
        (Fault.html_502, "a fox", "ServerError"),
    ],
)
async def test_the_table_of_errors(sandbox: Sandbox, fault: Fault | None, prompt: str, name: str) -> None:
    """An error that occurs has the `billed` that the table states for it, and no advice to send the call again."""
    [stated] = re.findall(rf"^\| .*`{name}`.* \| ([A-Z or]+) \|", TEXT, re.MULTILINE)
    if fault is not None:
        sandbox.fail("generate", fault=fault)

    async with Ideogram(CANARY, base_url=sandbox.url, retry=Retry(throttle_wait=0)) as client:
        with pytest.raises(IdeogramError) as caught:
            await client.generate(prompt)

    assert name == type(caught.value).__name__
    assert caught.value.billed.name in stated.split(" or ")
    assert caught.value.billed is Billed.NO or not caught.value.retryable


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_order_with_an_unknown_outcome_is_not_sent_again(
    folder: Path, sandbox: Sandbox, route: str, fault: str
) -> None:
    """Two requests at once and two repeats send one call, and are answered with an error that says so."""
    sandbox.fail("generate", fault=FAULTS[fault])
    async with serving(load("shop.py")["app"]) as url:
        statuses = {*await asyncio.gather(*(post(url, route) for _ in range(2)))}
        statuses |= {await post(url, route) for _ in range(2)}

    assert statuses <= {502, 504}
    assert 1 == len(sandbox.requests)
    assert [] == sandbox.ledger.duplicates


@pytest.mark.parametrize("route", ROUTES)
async def test_an_order_that_is_throttled_is_bought_once(folder: Path, sandbox: Sandbox, route: str) -> None:
    """The client waits after a 429, and all requests get the image."""
    sandbox.fail("generate", fault=THROTTLED)
    async with serving(load("shop.py")["app"]) as url:
        statuses = [*await asyncio.gather(*(post(url, route) for _ in range(2))), await post(url, route)]

    assert [200, 200, 200] == statuses
    assert 1 == sandbox.ledger.billed_images == len(list((folder / "images").iterdir()))


@pytest.mark.parametrize("route", ROUTES)
async def test_an_order_whose_clients_disconnect_is_bought_once(folder: Path, sandbox: Sandbox, route: str) -> None:
    """A client that disconnects and repeats its request, to another process too, gets the image that was bought."""
    sandbox.hold()
    async with serving(load("shop.py")["app"]) as url:
        for _ in range(2):
            impatient = asyncio.create_task(post(url, route))
            await sandbox.wait_for_requests(1)
            impatient.cancel()

        sandbox.release()
        statuses = [await post(url, route)]

    async with serving(load("shop.py")["app"]) as url:
        statuses.append(await post(url, route))

    assert [200, 200] == statuses
    assert 1 == sandbox.ledger.billed_images == len(list((folder / "images").iterdir()))


async def test_an_order_whose_image_is_withheld_is_not_bought_again(folder: Path, sandbox: Sandbox) -> None:
    """The app says that it was billed, also when it is asked again, and nothing else is sent."""
    sandbox.fail("generate", fault=Fault.unsafe())
    async with serving(load("shop.py")["app"]) as url:
        statuses = [await post(url, ROUTES[0]) for _ in range(2)]

    assert [502, 502] == statuses
    assert 1 == sandbox.ledger.billed_images


async def test_an_image_of_an_order_outlives_its_link(folder: Path, sandbox: Sandbox) -> None:
    """A day later, when its link has expired, an order is still answered with its image, and nothing is bought."""
    async with serving(load("shop.py")["app"]) as url:
        statuses = [await post(url, ROUTES[0])]
        sandbox.advance(2 * 86400)
        statuses.append(await post(url, ROUTES[0]))

    assert [200, 200] == statuses
    assert 1 == sandbox.ledger.billed_images


async def test_a_task_that_is_delivered_again_buys_nothing(folder: Path, sandbox: Sandbox) -> None:
    """A task that runs twice at once, and later once more, buys and keeps one image."""
    make_image = load("tasks.py")["make_image"]
    await asyncio.gather(*(make_image(7, "a red fox") for _ in range(2)))
    await make_image(7, "a red fox")

    assert ["order-7-0.png"] == [path.name for path in (folder / "images").iterdir()]
    assert 1 == sandbox.ledger.billed_images


async def test_the_plan_of_the_bulk_job_sends_nothing(
    folder: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an argument the program prints the plan. A faulty row is refused with its line."""
    monkeypatch.setattr("sys.argv", ["catalog.py"])
    code = await load("catalog.py")["main"]()
    (folder / "products.csv").write_text("sku,title,num_images\nmug,a mug,9\n")
    with pytest.raises(InvalidRequestError, match="line 2: num_images must be from 1 to 8, not 9"):
        await load("catalog.py")["main"]()

    assert 0 == code
    assert f"{ROWS} jobs, {ROWS} images, 0.90 USD; 0 of unknown price\n" in capsys.readouterr().out
    assert [] == sandbox.requests


async def test_the_bulk_job_survives_faults(folder: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs amid faults buy each row at most once, and list the rows in doubt and one answer that was cut."""
    monkeypatch.setattr("sys.argv", ["catalog.py", "--send"])
    for after, fault in enumerate([*FAULTS.values(), THROTTLED]):
        sandbox.fail("generate", fault=fault, after=4 * after)

    codes = [await load("catalog.py")["main"]() for _ in range(2)]
    report = Folder(folder / "catalog").report()

    assert [1, 1] == codes
    assert (5, 1) == (len(report.ambiguous), len(report.failures))
    assert ROWS == report.images_stored + len(report.ambiguous) + len(report.failures)
    assert ROWS == sum(request.status != 429 for request in sandbox.requests)
    assert [] == sandbox.ledger.duplicates


def test_the_rows_of_a_bulk_job_can_be_of_the_second_contract(folder: Path) -> None:
    """The operation that the skill names for newer models makes the rows requests for Ideogram 4.6."""
    [operation] = re.findall(r'`read_jobs\("products.csv", operation="(.+)"\)`', TEXT)
    jobs = [*read_jobs("products.csv", operation=operation, columns={"prompt": "title"}, ignore_columns=True)]

    assert ROWS == len(jobs) == sum(isinstance(job.request, v2.Generate46) for job in jobs)


async def test_the_bulk_job_keeps_to_its_budget(
    folder: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget for ten images buys ten, also in a second run."""
    monkeypatch.setattr("sys.argv", ["catalog.py", "--send"])
    names = load("catalog.py")
    names["BUDGET_USD"] = "0.30"
    codes = [await names["main"]() for _ in range(2)]

    assert [1, 1] == codes
    assert 10 == sandbox.ledger.billed_images


@pytest.mark.programs
def test_the_bulk_job_survives_a_kill(tmp_path: Path) -> None:
    """Killed amid ten calls, the program goes on where it was: no row is paid twice, and ten are listed."""
    (tmp_path / "products.csv").write_text(products())
    (tmp_path / "catalog.py").write_text(program("catalog.py"))
    command = [sys.executable, "catalog.py", "--send"]
    with SandboxProcess() as sandbox:
        env = os.environ | {"IDEOGRAM_API_KEY": CANARY, "IDEOGRAM_BASE_URL": sandbox.url}
        sandbox.control("hold")
        killed = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE)
        sandbox.control("wait", requests=LIMIT)
        killed.kill()
        killed.communicate()
        sandbox.control("release")
        again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        ledger = sandbox.ledger()

    assert (1, "") == (again.returncode, again.stderr)
    assert LIMIT == again.stdout.count("ambiguous 0.03")
    assert ROWS - LIMIT == len(list((tmp_path / "catalog").glob("mug-*.png")))
    assert (ROWS, 0) == (ledger["images"], ledger["duplicates"])
