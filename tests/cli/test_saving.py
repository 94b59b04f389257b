"""Images of single calls: saved by default, never overwritten, and never lost for want of a folder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from support.commands import CommandLine
from support.disks import fill
from support.terminal import terminal

from ideogram_async.sandbox import Fault, Sandbox

LINK = "/api/images/ephemeral/"


def images(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".png")


def test_images_are_saved_in_the_current_folder(cli: CommandLine):
    """Without `-o` the images are in the current folder, and the output has their paths instead of links."""
    completed = cli("generate", "a fox", "--num-images", "2")

    assert (0, "") == (completed.code, completed.err)
    assert 2 == len(images(cli.folder))
    assert [] == [name for name in images(cli.folder) if f" {name}  1024x1024" not in completed.out]
    assert LINK not in completed.out


def test_links_without_files(cli: CommandLine):
    """With `--no-save` there are links, a note that they expire, and no file."""
    text, machine = cli("generate", "a fox", "--no-save"), cli("generate", "a fox", "--no-save", "--json")

    assert [] == list(cli.folder.iterdir())
    assert LINK in text.out
    assert "1 image for 0.06 USD; links expire within 24 hours\n" in text.out
    assert "paths" not in machine.events[0]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("file", "file is a file; images need a folder"),
        ("fox.png", "fox.png is the name of an image; --output takes a folder"),
        ("/proc/images", "/proc/images cannot be written: No such file or directory"),
    ],
)
def test_an_unusable_folder(cli: CommandLine, ideogram_sandbox: Sandbox, folder: str, message: str):
    """Nothing is sent if images cannot be saved."""
    cli.write("file")

    completed = cli("generate", "a fox", "-o", folder)

    assert (2, "") == (completed.code, completed.out)
    assert completed.err.startswith(f"✗ {message}\n  Nothing was billed.")
    assert [] == ideogram_sandbox.requests


def test_a_folder_that_cannot_be_written(cli: CommandLine, ideogram_sandbox: Sandbox, small_disk: Path):
    """A read-only current folder, or one without space, is noticed before anything is sent; links still work."""
    small = CommandLine(small_disk, cli.env)
    too_small = small("generate", "a fox")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    read_only, links = small("generate", "a fox"), small("generate", "a fox", "--no-save")

    assert (2, 2, 0) == (too_small.code, read_only.code, links.code)
    assert "MiB free; 4 MiB are needed" in too_small.err
    assert ". cannot be written: Read-only file system" in read_only.err
    assert 1 == ideogram_sandbox.ledger.billed_images


def test_a_taken_name(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A file with the name of an image stays as it is; the image gets another name, or is found again."""
    link = cli("generate", "a fox", "--json").events[0]["data"][0]["url"]
    [first] = images(cli.folder)
    content = (cli.folder / first).read_bytes()
    (cli.folder / first).write_text("another file")
    reply = f'{{"data": [{{"url": "{link}", "prompt": "", "resolution": "1x1", "is_image_safe": true, "seed": 1}}]}}'
    ideogram_sandbox.fail("generate", times=2, fault=Fault.status(200, reply.replace("1x1", "1024x1024")))

    runs = [cli("generate", "a fox", "--json"), cli("generate", "a fox", "--json")]
    numbered = first.replace(".png", "-2.png")

    assert [[numbered], [numbered]] == [run.events[0]["paths"] for run in runs]
    assert "another file" == (cli.folder / first).read_text()
    assert content == (cli.folder / numbered).read_bytes()


def test_a_tilde_is_the_home_folder(cli: CommandLine):
    """`--output=~/images`, which shells leave unexpanded, names a folder in the home folder."""
    home = evolve(cli, env={**cli.env, "HOME": str(cli.folder / "home")})

    completed = home("generate", "a fox", "--output=~/images")

    assert 0 == completed.code
    assert 1 == len(images(cli.folder / "home" / "images"))
    assert ["home"] == [path.name for path in cli.folder.iterdir()]


def test_a_refused_link_that_is_new(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The message about a refused link that has not expired says to download it again later."""
    ideogram_sandbox.fail(fault=Fault.expired, times=10)

    completed = cli("generate", "a fox")

    assert 1 == completed.code
    assert "It was billed. Links work for at most 24 hours. Download a newer one again later" in completed.err


def test_withheld_images_among_others(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Of 8 images 3 are withheld: the others are saved, and the exit code is 1."""
    ideogram_sandbox.fail("generate", fault=Fault.unsafe(3))

    completed = cli("generate", "a fox", "--num-images", "8", "--json")
    [answer] = completed.events

    assert 1 == completed.code
    assert [image["url"] is None for image in answer["data"]] == [path is None for path in answer["paths"]]
    assert sorted(filter(None, answer["paths"])) == images(cli.folder)
    assert 5 == len(images(cli.folder))


def test_a_disk_that_fills_up(cli: CommandLine, ideogram_sandbox: Sandbox, small_disk: Path):
    """An image that was billed and does not fit on the disk is at its link, which is printed."""
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    ideogram_sandbox.hold()
    with CommandLine(small_disk, cli.env).start("generate", "a fox") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))
        fill(small_disk)
        ideogram_sandbox.release()
        out, err = process.communicate(timeout=20)

    assert 1 == process.returncode
    assert LINK in out
    assert "links expire within 24 hours" in out
    assert "✗ . cannot be written: No space left on device\n  It was billed. The image is at its link.\n" == err


def test_two_processes_in_one_folder(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Processes that share a folder store all images under different names, and leave no other file."""
    ideogram_sandbox.hold()
    processes = [cli.start("generate", f"a fox {n}", "--num-images", "2", "-o", "new/foxes") for n in range(3)]
    asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(3), 20))
    ideogram_sandbox.release()
    for process in processes:
        with process:
            process.communicate(timeout=20)

    assert [0, 0, 0] == [process.returncode for process in processes]
    assert 6 == len(images(cli.folder / "new/foxes")) == len(list((cli.folder / "new/foxes").iterdir()))


def test_an_interrupt_while_images_are_saved(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Ctrl-C after the answer prints the links of what was billed."""
    ideogram_sandbox.fail("images", fault=Fault.hang)
    with terminal(cli, 300, "generate", "a fox") as (process, screen):
        screen.wait_for("Saving 1 image")
        process.send_signal(signal.SIGINT)
        screen.read_all()

    text = "\n".join(screen.lines)

    assert 130 == process.wait()
    assert LINK in text
    assert "✗ Interrupted.\n  It was billed. Images without a path are at their links.\n" in text


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_spinner(cli: CommandLine, ideogram_sandbox: Sandbox, is_shown: bool):
    """A terminal shows the seconds that have passed, unless it is a dumb one."""
    ideogram_sandbox.hold()
    with terminal(cli, 40, "generate", "a fox", TERM="xterm" if is_shown else "dumb") as (process, screen):
        if is_shown:
            screen.wait_for("generate: 1 image 1 s")
        else:
            asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))

        ideogram_sandbox.release()
        screen.read_all()

    assert 0 == process.wait()
    assert is_shown is ("generate: 1 image" in screen.text)
    assert is_shown is ("\x1b[?25l" in screen.text)


def test_a_dry_run_sends_nothing(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`--dry-run` prints the request as it would be sent, its price and its faults, without a key."""
    keyless = CommandLine(cli.folder, {**cli.env, "IDEOGRAM_API_KEY": ""})
    (cli.folder / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    text = keyless("upscale", "fox.png", "--resemblance", "30", "--dry-run")
    machine = keyless("generate", "a fox", "--num-images", "2", "-o", "new", "--dry-run", "--json").events[0]
    invalid = keyless("generate", " ", "--num-images", "9", "--dry-run")

    assert "POST /upscale\n" in text.out
    assert "fox.png (108 bytes)" in text.out
    assert '{"resemblance": 30}' in text.out.replace('{"resemblance":30}', '{"resemblance": 30}')
    assert "0.06 USD" in text.out
    assert [["num_images", "2"], ["prompt", "a fox"]] == machine["fields"]
    assert ("0.12", "new") == (machine["price"]["usd"], machine["folder"])
    assert (0, 2) == (text.code, invalid.code)
    assert "num_images: must be from 1 to 8, not 9" in invalid.err
    assert [] == ideogram_sandbox.requests
    assert ["fox.png"] == os.listdir(cli.folder)


@pytest.mark.parametrize(("answer", "code"), [("y\r", 1), ("\r", 2), ("\x04", 2), ("\x03", 130)])
def test_an_expensive_call_is_confirmed(cli: CommandLine, ideogram_sandbox: Sandbox, answer: str, code: int):
    """In a terminal a call of more than 25 USD is sent only after a yes."""
    with terminal(cli, 80, "models", "train", "d", "foxes") as (process, screen):
        screen.wait_for("Send this? [y/N]")
        screen.type(answer)
        screen.read_all()

    text = "\n".join(screen.lines)

    assert code == process.wait()
    assert "40.00 USD" in text
    assert (code != 1) is ("nothing was sent." in text or "The call was not sent." in text)
    assert (code == 1) is bool(ideogram_sandbox.requests)


@pytest.mark.parametrize("has_terminal", [True, False])
def test_an_expensive_call_that_asks_nothing(cli: CommandLine, ideogram_sandbox: Sandbox, has_terminal: bool):
    """With `--yes`, or without a terminal, no question is asked."""
    if has_terminal:
        with terminal(cli, 80, "models", "train", "d", "foxes", "-y") as (_, screen):
            screen.read_all()

        text = screen.text
    else:
        text = cli("models", "train", "d", "foxes").err

    assert "Send this?" not in text
    assert 1 == len(ideogram_sandbox.requests)
