"""Gallery: it shows every job, runs no content and needs no network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image
from support.folders import image, job, write_folder, write_pictures
from support.pictures import picture

from ideogram_async import FromJob, Generate, ImageState, JobState, Upscale
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.gallery.cards import STATE_TEXTS
from ideogram_async._batch.job import PROBLEM_TEXTS, ImageProblem

SCRIPT = "<script>alert(1)</script>"


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
    """Elements and text of a page, and the jobs of its data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.jobs: list[dict[str, Any]] = json.loads(self.data)
        self.cards = [image | {"job": job} for job in self.jobs for image in job.get("images", [job])]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][1].get("id") == "data" and self.lasttag == "script":
            self.data += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))

    def all(self, tag: str, name: str) -> list[str | None]:
        return [attrs.get(name) for name_of_tag, attrs in self.tags if name_of_tag == tag and name in attrs]


def test_every_image_and_every_job_without_one_has_a_card(folder: Folder):
    """Stored, withheld, rejected, ambiguous and pending jobs are shown with price, seed and text."""
    page = Page(folder.gallery())
    first, second, *_ = page.jobs

    assert ["stored"] * 3 + ["withheld", "rejected", "ambiguous", "pending"] == [card["state"] for card in page.cards]
    assert "6 jobs3 images stored1 withheld1 rejected1 ambiguous1 pending0.12 USD spent0.06 USD in doubt" in page.text
    assert ("a red fox", "a red fox, at dawn") == (first["prompt"], first["images"][0]["prompt"])
    assert (None, "0.06") == (first.get("price"), second["price"])
    assert (7, "1024x1024", [480, 300]) == tuple(
        first["images"][0][name] for name in ("seed", "resolution", "thumbnail")
    )
    assert {"num_images": "2"} == second["settings"]
    assert "Not billed. Correct it under the same id, or retry with --retry-rejected." == page.jobs[3]["text"]
    assert "<i>no</i>" in page.jobs[3]["error"]


def test_a_card_names_the_image_that_it_was_made_from(tmp_path: Path):
    """An image of an earlier job, or a file of the folder, is the source; another file is a setting."""
    (tmp_path / "out").mkdir()
    stored, owl = tmp_path / "out" / "row-0-0.png", tmp_path / "owl.png"
    for path in (stored, owl):
        path.write_bytes(picture())

    sources = [FromJob("row-0", 1), stored, owl]
    jobs = [job(number, request=Upscale(source)) for number, source in enumerate(sources, 1)]
    chained, of_file, other = Page(Folder(write_folder(tmp_path / "out", jobs)).gallery()).jobs

    assert (["row-0", 1], "./row-0-0.png") == (chained["source"], of_file["source"])
    assert "source" not in other
    assert {"image": "owl.png"} == other["settings"]


def test_carried_columns_are_on_the_card(tmp_path: Path):
    """The columns that a job carries are data of its card, without control characters."""
    rows = [job(0, carried=json.dumps({"sku": "A-\x1b17"}))]

    assert [{"sku": "A-\N{REPLACEMENT CHARACTER}17"}] == [
        card["carried"] for card in Page(Folder(write_folder(tmp_path, rows)).gallery()).jobs
    ]


def test_every_state_has_a_text():
    """Every card without a picture explains why."""
    settled = {JobState.DONE, JobState.PARTIAL, ImageState.STORED}

    assert {*JobState, *ImageState} - settled == set(STATE_TEXTS)


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.REJECTED])
def test_a_job_that_was_ambiguous_before_is_not_free(tmp_path: Path, state: JobState):
    """A job that was resent and then rejected, or waits to be resent, may have been billed the first time."""
    page = Page(Folder(write_folder(tmp_path, [job(0, state, resends=1)])).gallery())

    assert page.jobs[0]["text"].startswith("An earlier attempt may have run and may have been billed. ")
    assert "Not billed." not in page.data
    assert "0.06 USD in doubt" in page.text


def test_a_prompt_stays_text(folder: Folder):
    """Prompts, ids and errors are data, never markup; the policy allows a single script."""
    page = Page(folder.gallery())
    names = [tag for tag, _ in page.tags]

    assert SCRIPT in page.jobs[1]["prompt"]
    assert "</style><b>" == page.jobs[3]["id"]
    assert ["data", None] == [attrs.get("id") for tag, attrs in page.tags if tag == "script"]
    assert [1, 0, 0] == [names.count(tag) for tag in ("style", "b", "i")]
    assert [] == [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    assert re.search(r"default-src 'none'; .*script-src 'sha256-[\w+/=]{44}'", page.all("meta", "content")[0] or "")


def test_the_page_refers_to_files_in_its_folder_only(folder: Folder):
    """Every URL is relative and leads to an existing file with any name. No link of the service is on the page."""
    (folder.path / "row-1-0.png.json").write_text("{}")
    page = Page(folder.gallery())
    files = [card["file"] for card in page.cards if "file" in card]

    assert ["./javascript%3Aalert%281%29%23%3F.png", "./row-1-0.png", "./row-1-1.png"] == files
    assert ["./row-1-0.png.json"] == [card["sidecar"] for card in page.cards if "sidecar" in card]
    assert all((folder.path / unquote(file)).is_file() for file in files)
    assert [] == [*page.all("link", "href"), *page.all("script", "src"), *page.all("img", "src")]
    # The namespace of SVG is the only address, and it is not requested.
    assert ["http://www.w3.org/2000/svg"] == re.findall(r"https?://[^\s\"]+", folder.gallery().read_text())


def test_thumbnails_are_small_and_written_once(folder: Folder):
    """They have at most 480 pixels in each direction; only outdated ones are written again."""
    folder.gallery()
    small = sorted((folder.path / "thumbnails").iterdir())
    written = [path.stat().st_mtime_ns for path in small]
    with Image.open(small[0]) as opened:
        size = opened.size

    page = Page(folder.gallery())
    again = [path.stat().st_mtime_ns for path in small]
    os.utime(folder.path / "row-1-1.png", ns=(written[2] + 10**9, written[2] + 10**9))
    folder.gallery()

    assert ["key0-0.webp", "key1-0.webp", "key1-1.webp"] == [path.name for path in small]
    assert ((480, 300), written) == (size, again)
    assert [[480, 300]] * 3 == [card["thumbnail"] for card in page.cards if "thumbnail" in card]
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

    assert ((21, 480), "RGBA" if mode in ("RGBA", "LA") else "RGB") == actual


def gone(path: Path) -> None:
    path.unlink()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def elsewhere(path: Path) -> None:
    other = path.parent.parent / "private.png"
    path.replace(other)
    path.symlink_to(other)


@pytest.mark.parametrize(("spoil", "is_linked"), [(gone, False), (damaged, True), (elsewhere, True)])
def test_a_picture_that_cannot_be_shown_keeps_its_card(tmp_path: Path, spoil: Callable[[Path], None], is_linked: bool):
    """A file that is missing, damaged or outside the folder has no thumbnail, and the other cards are unaffected."""
    images = [image(job(0)), image(job(0), 1)]
    folder = Folder(write_pictures(write_folder(tmp_path / "out", [job(0)], images), images))
    spoil(folder.path / "row-0-0.png")
    first, second = Page(folder.gallery()).cards

    assert (is_linked, not is_linked) == ("file" in first, first.get("text", "").startswith("The file is missing."))
    assert (False, True) == ("thumbnail" in first, "thumbnail" in second)
    assert ["key0-1.webp"] == [path.name for path in (folder.path / "thumbnails").iterdir()]


def test_an_empty_folder_has_a_page(tmp_path: Path):
    """An empty batch has a page without cards."""
    assert "0 jobs0 images stored0.00 USD spent" in Page(Folder(write_folder(tmp_path, [])).gallery()).text


@pytest.mark.parametrize("problem", PROBLEM_TEXTS)
def test_an_image_that_could_not_be_downloaded_has_its_reason(tmp_path: Path, problem: ImageProblem):
    """The card explains what happens next, and why the last attempt failed."""
    row = job(0, JobState.ANSWERED)
    linked = image(row, state=ImageState.LINKED, problem=problem, tried_at="2026-01-01T00:00:00+00:00")
    page = Page(Folder(write_folder(tmp_path, [row], [linked])).gallery())

    assert page.cards[0]["text"].endswith(
        f"The next run downloads it. The last attempt failed: {PROBLEM_TEXTS[problem]}."
    )
    assert "1 to be downloaded" in page.text
