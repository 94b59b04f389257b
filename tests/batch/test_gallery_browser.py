"""Gallery in a browser: cards are found, opened, compared and picked, and the picks become a jobs file."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from support.browser import Page, browsing
from support.clients import CANARY
from support.commands import CommandLine
from support.folders import image, job, write_folder, write_pictures

from ideogram_async import FromJob, Generate, ImageState, JobState, RemoveBackground, Upscale
from ideogram_async._batch.folder import Folder
from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.programs

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> שלום 🦊 " + "long" * 200
CARDS = "[...document.querySelectorAll('.card')].map(card => card.dataset.id).join()"
SPOTS = "spots.filter(spot => spot.card).map(spot => spot.card.id).join()"
FOCUSED = "document.activeElement.closest('.card').dataset.id"
IS_OPEN = "document.querySelector('#viewer').open"
IMAGES = "[...viewer.querySelectorAll('.stage img')]"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder with a chain of three images, a job of two images, and jobs without any."""
    jobs = [
        job(0, id="fox", request=Generate("a red fox", seed=9), carried=json.dumps({"<b>sku": f"{HOSTILE[:50]} A-17"})),
        job(1, id="owl", request=Generate(HOSTILE, num_images=2), usd=None),
        job(2, id="fox-large", request=Upscale(FromJob("fox"))),
        job(3, id="fox-cut", request=RemoveBackground(FromJob("fox-large"))),
        job(4, JobState.REJECTED, id="</style><b>", error="<i>no</i>"),
        job(5, JobState.AMBIGUOUS, id="hare"),
        job(6, JobState.PARTIAL, id="elk"),
    ]
    images = [
        image(jobs[0], seed=9, prompt="a red fox, at dawn"),
        image(jobs[1], 0, seed=3, prompt=None),
        image(jobs[1], 1, seed=1, prompt=None),
        image(jobs[2], seed=5, prompt=None),
        image(jobs[3], seed=None, prompt=None),
        image(jobs[6], state=ImageState.WITHHELD, prompt=None),
    ]
    return Folder(write_pictures(write_folder(tmp_path / "it's <b> 100% out", jobs, images), images))


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncGenerator[Page]:
    async with browsing(tmp_path / "profile") as page:
        yield page


async def visit(browser: Page, path: Path, view: str = "") -> None:
    """Open the page again, with a view."""
    await browser.open("about:blank")
    await browser.open(f"{path.as_uri()}#{view}")


async def test_the_view_in_the_address_finds_cards(folder: Folder, browser: Page):
    """Text, state, operation, price, order and group are restored from the address; no prompt is run as markup."""
    page = folder.gallery()
    everything = "key0-0,key1-0,key1-1,key2-0,key3-0,key4-0,key5-0,key6-0"
    found = {}
    views = {
        "": (everything, "8 shown"),
        "q=FOX+dawn": ("key0-0", "1 of 8"),
        "q=onerror": ("key1-0,key1-1", "2 of 8"),
        "q=a-17": ("key0-0", "1 of 8"),
        "q=nothing+like+it": ("", "0 of 8"),
        "state=withheld": ("key6-0", "1 of 8"),
        "state=nonsense": (everything, "8 shown"),
        "operation=upscale": ("key2-0", "1 of 8"),
        "price=unknown+price": ("key1-0,key1-1", "2 of 8"),
        "state=stored&sort=seed": ("key1-1,key1-0,key2-0,key0-0,key3-0", "5 of 8"),
        "state=stored&sort=name": ("key0-0,key3-0,key2-0,key1-0,key1-1", "5 of 8"),
        "state=stored&group=chain": ("key0-0,key2-0,key3-0,key1-0,key1-1", "5 of 8"),
    }
    for view in views:
        await visit(browser, page, view)
        found[view] = (await browser.run(SPOTS), await browser.run("shown.value"))

    assert views == found
    assert await browser.run("[...document.querySelectorAll('.heading h2')].map(h => h.textContent)") == ["fox", "owl"]
    assert [2, 0] == await browser.run("[document.scripts.length, document.querySelectorAll('b, i').length]")


async def test_choices_and_typing_change_the_address(folder: Folder, browser: Page):
    """A search and a choice are in the address after a moment; Escape shows all again."""
    await visit(browser, folder.gallery())
    await browser.press("/")
    await browser.type("#search", "fox")
    await browser.run("selects.get('state').value = 'stored'; selects.get('state').dispatchEvent(new Event('change'))")
    await browser.until("location.hash == '#q=fox&state=stored'")
    found = await browser.run(SPOTS)
    await browser.press("Escape")
    await browser.until("!location.hash")

    assert "key0-0,key2-0,key3-0" == found
    assert "8 shown" == await browser.run("shown.value")


async def test_the_viewer_steps_and_goes_back(folder: Folder, browser: Page):
    """Enter opens the image, arrows step, and the browser's back button and Escape close it, at the last image."""
    await visit(browser, folder.gallery())
    await browser.press("ArrowRight", "ArrowRight", "Enter")
    first = await browser.run("location.hash")
    await browser.press("ArrowRight")
    await browser.until(f"{IMAGES}[0]?.naturalWidth == 640")
    second = await browser.run("[location.hash, aside.querySelector('.prompt').textContent.startsWith('</script>')]")
    await browser.run("history.back()")
    await browser.until(f"!{IS_OPEN} && !location.hash")
    focused = await browser.run(FOCUSED)
    await browser.press("Enter", "ArrowLeft", "Escape")
    await browser.until(f"!{IS_OPEN} && !location.hash")

    assert ("#image=key1-0", ["#image=key1-1", True], "key1-1") == (first, second, focused)
    assert ["", "key1-0"] == await browser.run(f"[location.hash, {FOCUSED}]")


async def test_a_link_to_an_image_opens_it(folder: Folder, browser: Page):
    """A reload or a sent link opens the same image. Its close leads to the grid, not to another page."""
    await visit(browser, folder.gallery(), "image=key5-0")
    facts = await browser.run("aside.textContent")
    command = await browser.run("aside.querySelector('pre').textContent")
    await browser.press("Escape")
    await browser.until(f"!{IS_OPEN} && !location.hash")

    assert "Price0.06 USD" in facts
    assert ["ideogram-async", "batch", "resolve", f"{folder.path}/", "hare", "lost"] == shlex.split(command)
    assert "" == await browser.run("location.hash")


async def test_an_open_image_shows_what_the_job_carries(folder: Folder, browser: Page):
    """The columns of the prompt list are beside the image by their own names, as text."""
    await visit(browser, folder.gallery(), "image=key0-0")
    facts = await browser.run(
        "[...aside.querySelectorAll('dl div')].map(fact => [...fact.children].map(e => e.textContent))"
    )

    assert ["<b>sku", "</script><script>alert(1)</script><img src=x onerr A-17"] in facts
    assert ["Seed", "9"] in facts
    assert [2, 0] == await browser.run("[document.scripts.length, aside.querySelectorAll('b, script').length]")


async def test_picks_are_compared_and_kept(folder: Folder, browser: Page):
    """`p` and Space pick, a reload keeps the picks, `v` compares two of them with one zoom."""
    page = folder.gallery()
    await visit(browser, page)
    await browser.press("ArrowRight", "p", "ArrowRight", " ", "ArrowRight", "p", "End", "p")
    await visit(browser, page)
    kept = await browser.run("[...picks].join()")
    await browser.press("v", "+")
    zooms = await browser.run(f"{IMAGES}.map(image => getComputedStyle(image).transform)")
    await browser.press("ArrowRight")

    assert "key0-0,key1-0,key1-1" == kept
    assert 2 == len(zooms)
    assert zooms[0] == zooms[1] != "none"
    assert "#compare=" in await browser.run("location.hash")


async def test_picks_need_no_storage(folder: Folder, browser: Page):
    """A browser that forbids storage keeps picks as long as the page is open."""
    await browser.run_at_start("delete Window.prototype.localStorage; delete window.localStorage")
    await visit(browser, folder.gallery())
    await browser.press("ArrowRight", "p")

    assert ["undefined", 1] == await browser.run("[typeof localStorage, picks.size]")


async def test_a_prompt_is_copied(folder: Folder, browser: Page):
    """`c` copies the prompt; where the clipboard is closed to local files, by a selection."""
    await visit(browser, folder.gallery())
    await browser.run("navigator.clipboard.writeText = () => Promise.reject(); copies = []")
    await browser.run("document.addEventListener('copy', () => copies.push(document.activeElement.value))")
    await browser.press("ArrowRight", "ArrowLeft", "c")
    await browser.until("message.textContent == 'Prompt copied.'")

    assert ["a red fox, at dawn"] == await browser.run("copies")


@pytest.mark.parametrize(("operation", "prompt"), [("upscale", ""), ("remix", ""), ("remix", "in the snow")])
async def test_picks_become_a_jobs_file(
    folder: Folder, browser: Page, tmp_path: Path, ideogram_sandbox: Sandbox, operation: str, prompt: str
):
    """The saved file is accepted by `batch run` in any folder, with the images as they are on disk."""
    await browser.download_to(tmp_path)
    await visit(browser, folder.gallery())
    await browser.run("picks.add('key1-1'); picks.add('key0-0'); showTray()")
    await browser.run(f"document.querySelector('#operation').value = '{operation}'")
    await browser.run(f"document.querySelector('#remix-prompt').value = '{prompt}'")
    await browser.run("document.querySelector('.save .primary').click()")
    await browser.until("message.textContent.startsWith('Saved ')")
    saved = tmp_path / f"it-s-b-100-out-{operation}.jsonl"
    while not (saved.exists() and saved.stat().st_size):
        await browser.run("new Promise(done => requestAnimationFrame(done))")

    rows = [json.loads(line) for line in saved.read_text().splitlines()]
    name = "-".join([operation, *prompt.split()])
    env = os.environ | {"IDEOGRAM_API_KEY": CANARY, "IDEOGRAM_BASE_URL": ideogram_sandbox.url}
    completed = CommandLine(tmp_path, env)("batch", "run", saved.name, "new")

    assert [f"fox-0-{name}", f"owl-1-{name}"] == [row["id"] for row in rows]
    assert [str(folder.path / name) for name in ("row-0-0.png", "row-1-1.png")] == [row["image"] for row in rows]
    assert (operation == "remix") == ("prompt" in rows[0])
    assert 0 == completed.code, completed.err
    assert 2 == ideogram_sandbox.ledger.billed_images


async def test_remixes_without_a_prompt_are_not_saved(folder: Folder, browser: Page):
    """An image without a prompt needs one to be remixed; the page says so instead of saving."""
    await visit(browser, folder.gallery())

    assert "1 of the picks has no prompt. Type one for the remixes." == await browser.run(
        "picks.add('key3-0'), saveJobs('remix', '')"
    )


async def test_few_cards_of_many_are_elements(tmp_path: Path, browser: Page):
    """With thousands of jobs, only the cards near the viewport are in the document, at any scroll position."""
    rows = (job(number, JobState.PENDING) for number in range(3000))
    await visit(browser, Folder(write_folder(tmp_path / "out", rows)).gallery())
    at_top = await browser.run("[elements.size < 200, document.querySelector('.card').dataset.id]")
    await browser.run("scrollTo(0, document.body.scrollHeight)")
    await browser.until(f"{CARDS}.endsWith('key2999-0')")

    assert [True, "key0-0"] == at_top
    assert await browser.run("elements.size < 200")


@pytest.mark.parametrize("width", [390, 1280, 2560])
async def test_nothing_is_wider_than_the_window(folder: Folder, browser: Page, width: int):
    """Long texts scroll no page sideways, neither in the grid nor in an open image, and never hide a card's state."""
    await browser.resize(width, 900)
    await visit(browser, folder.gallery())
    grid = await browser.run("document.documentElement.scrollWidth - innerWidth")
    tops = await browser.run("[...document.querySelectorAll('.picture > strong')].map(state => state.offsetTop)")
    await visit(browser, folder.gallery(), "image=key1-0")

    assert (True, 0) == (grid <= 0, await browser.run("viewer.scrollWidth - viewer.clientWidth"))
    assert (3, True) == (len(tops), min(tops) >= 0)


async def test_the_page_requests_files_of_its_folder_only(folder: Folder, browser: Page):
    """Whatever is opened, the browser requests nothing but files of the folder."""
    page = folder.gallery()
    await browser.watch_requests()
    await visit(browser, page)
    await browser.press("ArrowRight", "p", "ArrowRight", "p", "v", "Escape", "Enter", *["ArrowRight"] * 8)
    await browser.until("[...document.images].every(image => image.complete)")
    requested = set(browser.requested) - {"about:blank"}

    assert {page.as_uri(), f"{page.parent.as_uri()}/thumbnails/key0-0.webp"} < {
        uri.partition("#")[0] for uri in requested
    }
    assert [] == [uri for uri in requested if not uri.startswith(f"{page.parent.as_uri()}/")]
