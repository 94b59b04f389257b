"""The page: every job is on it, nothing on it runs or asks the network, and a browser shows what was searched for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from support.kept import image, job, keep, with_pictures

from ideogram_async import Generate, ImageState, JobState
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.gallery import STATE_TEXTS

SCRIPT = "<script>alert(1)</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to look at the page with")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder with three pictures, and a job for every way in which there is none."""
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
    return Folder(with_pictures(keep(tmp_path / "out & <b>", jobs, images), images))


class Page(HTMLParser):
    """Reads what a browser would find."""

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
        return [attrs.get(name) for found, attrs in self.tags if found == tag and name in attrs]


def test_every_image_and_every_job_without_one_has_a_card(folder: Folder):
    """Stored, withheld, refused, doubtful and waiting: all are there, with price, seed and words."""
    page = Page(folder.gallery())

    assert ["stored"] * 3 + ["withheld", "rejected", "ambiguous", "pending"] == page.all("li", "data-state")
    assert "6 jobs3 images stored1 withheld1 rejected1 ambiguous1 pending0.12 USD spent0.06 USD in doubt" in page.text
    for words in ("a red fox, at dawn", "unknown price", "0.06 USD for 2", "1024x1024", "fox 5", "It cost nothing."):
        assert words in page.text


def test_every_state_has_its_words():
    """No card without a picture is left without a reason."""
    settled = {JobState.DONE, JobState.PARTIAL, ImageState.STORED}

    assert {*JobState, *ImageState} - settled == set(STATE_TEXTS)


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.REJECTED])
def test_a_job_that_was_in_doubt_before_is_not_called_free(tmp_path: Path, state: JobState):
    """What was sent again and then refused, or waits to be sent again, may have been paid for the first time."""
    page = Page(Folder(keep(tmp_path, [job(0, state, resends=1)])).gallery())

    assert "An earlier attempt may have run and may have been billed." in page.text
    assert "It cost nothing." not in page.text
    assert "0.06 USD in doubt" in page.text


def test_a_prompt_stays_text(folder: Folder):
    """Whatever a prompt, an id or an error says is shown, and is never markup; the policy allows one script alone."""
    page = Page(folder.gallery())
    names = [tag for tag, _ in page.tags]

    assert SCRIPT in page.text
    assert "</style><b>" in page.text
    assert [1, 1, 0, 0] == [names.count(tag) for tag in ("script", "style", "b", "i")]
    assert [] == [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    assert re.search(r"default-src 'none'; .*script-src 'sha256-[\w+/=]{44}'", page.all("meta", "content")[0] or "")


def test_the_page_asks_for_files_beside_it_only(folder: Folder):
    """Every address on it is relative and leads to a file that exists, however that is called."""
    (folder.path / "row-1-0.png.json").write_text("{}")
    page = Page(folder.gallery())
    links = [*page.all("a", "href"), *page.all("img", "src")]

    assert "./javascript%3Aalert%281%29%23%3F.png" in links
    assert "./row-1-0.png.json" in links
    assert {"./"} == {(link or "")[:2] for link in links}
    assert ["lazy"] * 3 == page.all("img", "loading")
    assert "://" not in folder.gallery().read_text()


def test_thumbnails_are_small_and_made_once(folder: Folder):
    """They have at most 320 pixels either way; one that is up to date is left alone, an older one is made again."""
    folder.gallery()
    small = sorted((folder.path / "thumbnails").iterdir())
    made = [path.stat().st_mtime_ns for path in small]
    with Image.open(small[0]) as opened:
        size = opened.size

    folder.gallery()
    again = [path.stat().st_mtime_ns for path in small]
    os.utime(folder.path / "row-1-1.png", ns=(made[2] + 10**9, made[2] + 10**9))
    folder.gallery()

    assert ["key0-0.webp", "key1-0.webp", "key1-1.webp"] == [path.name for path in small]
    assert ((320, 200), made) == (size, again)
    assert [True, True, False] == [made[at] == path.stat().st_mtime_ns for at, path in enumerate(small)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16", "CMYK"])
def test_any_picture_has_a_thumbnail(tmp_path: Path, mode: str):
    """Transparent, grey, of a palette or for print: all are shown; what is transparent stays so."""
    kept = image(job(0), path="x.jpg" if mode == "CMYK" else "x.png")
    folder = Folder(keep(tmp_path, [job(0)], [kept]))
    Image.new(mode, (40, 900)).save(tmp_path / (kept.path or ""))
    folder.gallery()
    with Image.open(tmp_path / "thumbnails" / "key0-0.webp") as opened:
        found = (opened.size, opened.mode)

    assert ((14, 320), "RGBA" if mode in ("RGBA", "LA") else "RGB") == found


def gone(path: Path) -> None:
    path.unlink()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def elsewhere(path: Path) -> None:
    other = path.parent.parent / "private.png"
    path.replace(other)
    path.symlink_to(other)


@pytest.mark.parametrize(("spoil", "links"), [(gone, 0), (damaged, 1), (elsewhere, 1)])
def test_a_picture_that_cannot_be_shown_keeps_its_card(tmp_path: Path, spoil, links: int):
    """A file that is gone, damaged, or leads out of the folder has no thumbnail, and takes no other with it."""
    images = [image(job(0)), image(job(0), 1)]
    folder = Folder(with_pictures(keep(tmp_path / "out", [job(0)], images), images))
    spoil(folder.path / "row-0-0.png")
    page = Page(folder.gallery())

    assert (2, 1 + links, 1) == (
        page.text.count("0.06 USD for 2"),
        len(page.all("a", "href")),
        len(page.all("img", "src")),
    )


def test_an_empty_folder_has_a_page(tmp_path: Path):
    """A batch that has not begun is shown as that."""
    assert "0 jobs0 images stored0 USD spent" in Page(Folder(keep(tmp_path, [])).gallery()).text


@pytest.mark.parametrize("missing", ["jinja2", "PIL"])
def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, missing: str):
    """The library works without jinja2 and Pillow; the gallery names them."""
    keep(tmp_path, [])
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


def seen(page: Path, profile: Path, wish: str = "") -> str:
    """Return the document as Chromium has it once its script has run."""
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --disable-dev-shm-usage --dump-dom"
    command = [str(CHROMIUM), *options.split(), *more.split(), f"--user-data-dir={profile}", f"{page.as_uri()}#{wish}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def cards_shown(document: str) -> list[str]:
    return re.findall(r'<li class="card" data-state="(\w+)">', document)


@browser
@pytest.mark.parametrize(
    ("wish", "states", "count"),
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
def test_a_browser_shows_what_fits(folder: Folder, tmp_path: Path, wish: str, states: list[str], count: str):
    """Chromium hides what does not fit the search and the state in the address, and runs no prompt."""
    document = seen(folder.gallery(), tmp_path / "profile", wish)

    assert states == cards_shown(document)
    assert f">{count}</output>" in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert SCRIPT not in document
