"""Gallery: it shows every job, runs no content and needs no network, and its search works in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from support.folders import image, job, write_folder, write_pictures

from ideogram_async import Generate, ImageState, JobState
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.gallery import STATE_TEXTS

SCRIPT = "<script>alert(1)</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to look at the page with")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder with three pictures, and a job for every reason to have none."""
    jobs = [
        job(0, request=Generate("a red fox"), usd=None),
        job(1, request=Generate(f'"onload="x {SCRIPT}', num_images=2)),
        job(2, JobState.PARTIAL),
        job(3, JobState.REJECTED, id="</style><b>", error="<i>no</i>"),
        job(4, JobState.AMBIGUOUS),
        job(5, JobState.PENDING),
    ]
    images = [
        image(jobs[0], prompt="a red fox, at dawn", path="javascript:alert(1)#?.png"),
        *(image(jobs[1], index, prompt=None) for index in (0, 1)),
        image(jobs[2], state=ImageState.WITHHELD),
    ]
    return Folder(write_pictures(write_folder(tmp_path / "out & <b>", jobs, images), images))


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, name: str) -> list[str | None]:
        return [attrs.get(name) for name_of_tag, attrs in self.tags if name_of_tag == tag and name in attrs]


def test_every_image_and_every_job_without_one_has_a_card(folder: Folder):
    """Stored, withheld, rejected, ambiguous and pending jobs are shown with price, seed and text."""
    page = Page(folder.gallery())

    assert ["stored"] * 3 + ["withheld", "rejected", "ambiguous", "pending"] == page.all("li", "data-state")
    assert "6 jobs3 images stored1 withheld1 rejected1 ambiguous1 pending0.12 USD spent0.06 USD in doubt" in page.text
    for text in ("a red fox, at dawn", "unknown price", "0.06 USD for 2", "1024x1024", "fox 5", "Not billed."):
        assert text in page.text


def test_every_state_has_a_text():
    """Every card without a picture explains why."""
    settled = {JobState.DONE, JobState.PARTIAL, ImageState.STORED}

    assert {*JobState, *ImageState} - settled == set(STATE_TEXTS)


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.REJECTED])
def test_a_job_that_was_ambiguous_before_is_not_free(tmp_path: Path, state: JobState):
    """A job that was resent and then rejected, or waits to be resent, may have been billed the first time."""
    page = Page(Folder(write_folder(tmp_path, [job(0, state, resends=1)])).gallery())

    assert "An earlier attempt may have run and may have been billed." in page.text
    assert "Not billed." not in page.text
    assert "0.06 USD in doubt" in page.text


def test_a_prompt_stays_text(folder: Folder):
    """Prompts, ids and errors are shown as text, never as markup; the policy allows a single script."""
    page = Page(folder.gallery())
    names = [tag for tag, _ in page.tags]

    assert SCRIPT in page.text
    assert "</style><b>" in page.text
    assert [1, 1, 0, 0] == [names.count(tag) for tag in ("script", "style", "b", "i")]
    assert [] == [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    assert re.search(r"default-src 'none'; .*script-src 'sha256-[\w+/=]{44}'", page.all("meta", "content")[0] or "")


def test_the_page_refers_to_files_in_its_folder_only(folder: Folder):
    """Every URL is relative and leads to an existing file with any name."""
    (folder.path / "row-1-0.png.json").write_text("{}")
    page = Page(folder.gallery())
    links = [*page.all("a", "href"), *page.all("img", "src")]

    assert "./javascript%3Aalert%281%29%23%3F.png" in links
    assert "./row-1-0.png.json" in links
    assert {"./"} == {(link or "")[:2] for link in links}
    assert ["lazy"] * 3 == page.all("img", "loading")
    assert "://" not in folder.gallery().read_text()


def test_thumbnails_are_small_and_written_once(folder: Folder):
    """They have at most 320 pixels in each direction; only outdated ones are written again."""
    folder.gallery()
    small = sorted((folder.path / "thumbnails").iterdir())
    written = [path.stat().st_mtime_ns for path in small]
    with Image.open(small[0]) as opened:
        size = opened.size

    folder.gallery()
    again = [path.stat().st_mtime_ns for path in small]
    os.utime(folder.path / "row-1-1.png", ns=(written[2] + 10**9, written[2] + 10**9))
    folder.gallery()

    assert ["key0-0.webp", "key1-0.webp", "key1-1.webp"] == [path.name for path in small]
    assert ((320, 200), written) == (size, again)
    assert [True, True, False] == [written[index] == path.stat().st_mtime_ns for index, path in enumerate(small)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16", "CMYK"])
def test_any_picture_has_a_thumbnail(tmp_path: Path, mode: str):
    """Transparent, gray, palette and CMYK images are shown; transparency is kept."""
    kept = image(job(0), path="x.jpg" if mode == "CMYK" else "x.png")
    folder = Folder(write_folder(tmp_path, [job(0)], [kept]))
    Image.new(mode, (40, 900)).save(tmp_path / (kept.path or ""))
    folder.gallery()
    with Image.open(tmp_path / "thumbnails" / "key0-0.webp") as opened:
        actual = (opened.size, opened.mode)

    assert ((14, 320), "RGBA" if mode in ("RGBA", "LA") else "RGB") == actual


def gone(path: Path) -> None:
    path.unlink()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def elsewhere(path: Path) -> None:
    other = path.parent.parent / "private.png"
    path.replace(other)
    path.symlink_to(other)


@pytest.mark.parametrize(("spoil", "links"), [(gone, 0), (damaged, 1), (elsewhere, 1)])
def test_a_picture_that_cannot_be_shown_keeps_its_card(tmp_path: Path, spoil: Callable[[Path], None], links: int):
    """A file that is missing, damaged or outside the folder has no thumbnail, and the other cards are unaffected."""
    images = [image(job(0)), image(job(0), 1)]
    folder = Folder(write_pictures(write_folder(tmp_path / "out", [job(0)], images), images))
    spoil(folder.path / "row-0-0.png")
    page = Page(folder.gallery())

    assert (2, 1 + links, 1) == (
        page.text.count("0.06 USD for 2"),
        len(page.all("a", "href")),
        len(page.all("img", "src")),
    )


def test_an_empty_folder_has_a_page(tmp_path: Path):
    """An empty batch has a page without cards."""
    assert "0 jobs0 images stored0 USD spent" in Page(Folder(write_folder(tmp_path, [])).gallery()).text


@pytest.mark.parametrize("missing", ["jinja2", "PIL"])
def test_without_the_extra_the_error_names_it(tmp_path: Path, missing: str):
    """The library works without jinja2 and Pillow; the error of the gallery names them."""
    write_folder(tmp_path, [])
    script = f"""
import sys
sys.modules[{missing!r}] = None
from ideogram_async.batch import Folder
Folder({str(tmp_path)!r}).report()
try:
    Folder({str(tmp_path)!r}).gallery()
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert 'the gallery needs jinja2 and Pillow: pip install "ideogram-async[cli]"\n' == run.stdout


def rendered(page: Path, profile: Path, view: str = "") -> str:
    """Return the document in Chromium after its script has run."""
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --disable-dev-shm-usage --dump-dom"
    command = [str(CHROMIUM), *options.split(), *more.split(), f"--user-data-dir={profile}", f"{page.as_uri()}#{view}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def cards_shown(document: str) -> list[str]:
    return re.findall(r'<li class="card" data-state="(\w+)">', document)


@browser
@pytest.mark.parametrize(
    ("view", "states", "count"),
    [
        ("", ["stored"] * 3 + ["withheld", "rejected", "ambiguous", "pending"], "7 shown"),
        ("q=FOX+dawn", ["stored"], "1 of 7"),
        ("q=fox&state=withheld", ["withheld"], "1 of 7"),
        ("state=ambiguous", ["ambiguous"], "1 of 7"),
        ("q=%3Cscript%3Ealert", ["stored", "stored"], "2 of 7"),
        ("q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E", [], "0 of 7"),
        ("state=nonsense", ["stored"] * 3 + ["withheld", "rejected", "ambiguous", "pending"], "7 shown"),
    ],
)
def test_a_browser_shows_matching_cards(folder: Folder, tmp_path: Path, view: str, states: list[str], count: str):
    """Chromium hides cards that do not match the search and the state in the URL, and runs no prompt."""
    document = rendered(folder.gallery(), tmp_path / "profile", view)

    assert states == cards_shown(document)
    assert f">{count}</output>" in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert SCRIPT not in document
