"""`batch gallery`: it writes the page and opens it."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from support.commands import Invoke
from support.folders import job, write_folder


@pytest.mark.parametrize("has_display", [True, False])
def test_a_gallery_is_opened_where_there_is_a_display(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, has_display: bool
):
    """`--open` opens the page as a file; without a display it only prints the path, as without the option."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)

    if has_display:
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")

    write_folder(tmp_path / "out", [job(0)])
    without = invoke("batch", "gallery", "out")
    completed = invoke("batch", "gallery", "out", "--open")

    assert f"{tmp_path / 'out' / 'gallery.html'}\n" == without.out == completed.out
    assert [(tmp_path / "out" / "gallery.html").as_uri()] * has_display == opened
