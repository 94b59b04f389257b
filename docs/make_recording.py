"""Recorder of the README's pictures: runs commands against the sandbox in a terminal, and draws what they print.

It needs Linux, Chromium, and termtosvg-ng. `nox -s recording` installs the latter and runs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).with_name("pictures")
RECORDING = PICTURES / "recording.svg"
TEMPLATE = PICTURES / "terminal.svg"
COLUMNS, ROWS = 60, 30
PROMPT = "$ "
COMMANDS = (
    "# What would it cost? A dry run sends nothing.",
    "ideogram-async batch run jobs.csv out --dry-run",
    "# Kill it after 5 seconds.",
    "timeout -s KILL 5 ideogram-async batch run jobs.csv out",
    "# The same command resumes. What is in doubt is listed.",
    "ideogram-async batch run jobs.csv out --gallery",
)
JOBS = """\
id,prompt,num_images
fox,a red fox in fresh snow,4
owl,an owl reading a newspaper,4
boat,a paper boat on a sea of stars,4
teapot,a garden in a glass teapot,4
whale,a whale above the rooftops,4
lemon,a lemon with two leaves,4
hare,a snow hare at dusk,4
moth,a moth on a lamp,4
"""
EXAMPLES = Path(__file__).parents[1] / "examples" / "jobs.jsonl"
WINDOW = "1200,690"
SCHEMES = {"light": 1, "dark": 0}
"""Names of color schemes, with Chromium's numbers for them."""


@contextmanager
def sandbox() -> Generator[dict[str, str]]:
    """Serve a sandbox and yield the environment of its clients."""
    command = [sys.executable, "-m", "ideogram_async", "sandbox", "--latency", "1-2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        try:
            yield dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
        finally:
            process.terminate()


def record(folder: Path, variables: dict[str, str]) -> list[tuple[float, str]]:
    """Type the commands into a shell and return what the terminal shows, with the seconds since the start."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "LANG": "C.UTF-8"}
    environment |= {"TERM": "xterm-256color", "PS1": PROMPT, "HISTFILE": "/dev/null", **variables}
    # Bash marks pasted text otherwise.
    (folder / ".inputrc").write_text("set enable-bracketed-paste off\n")
    environment["INPUTRC"] = str(folder / ".inputrc")
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    start, events = time.monotonic(), list[tuple[float, str]]()

    def read(seconds: float, until: str = "") -> None:
        """Record the output for a time, or until its end is that text."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                events.append((time.monotonic() - start, os.read(terminal, 65536).decode()))
                if until and "".join(text for _, text in events).endswith(until):
                    return

        assert not until, f"no prompt after {seconds} seconds"

    read(10, PROMPT)
    for command in COMMANDS:
        for character in command:
            os.write(terminal, character.encode())
            read(0.035)

        read(0.4)
        os.write(terminal, b"\n")
        read(60, f"\n{PROMPT}")
        read(0.3 if command.startswith("#") else 2)

    os.close(terminal)
    os.waitpid(child, 0)
    return events


def draw(events: list[tuple[float, str]]) -> None:
    """Write the recording as an animated picture."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS}
    with tempfile.NamedTemporaryFile("w", suffix=".cast") as cast:
        cast.writelines(f"{json.dumps(line)}\n" for line in [header, *([at, "o", text] for at, text in events)])
        cast.flush()
        options = ["-t", str(TEMPLATE), "-m", "180", "-M", "2500", "-D", "8000"]
        subprocess.run([sys.executable, "-m", "termtosvg", "render", cast.name, str(RECORDING), *options], check=True)


def photograph(folder: Path) -> None:
    """Run the example of the README and write pictures of its gallery, one for each color scheme."""
    command = [sys.executable, "-m", "ideogram_async", "batch", "run", str(EXAMPLES), str(folder), "--sandbox"]
    subprocess.run(command, check=True)
    for name, number in SCHEMES.items():
        shot = folder / f"{name}.png"
        options = [f"--blink-settings=preferredColorScheme={number}", f"--window-size={WINDOW}", "--hide-scrollbars"]
        url = (folder / "gallery.html").as_uri()
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *options, f"--screenshot={shot}", url]
        subprocess.run(browser, check=True, stderr=subprocess.DEVNULL)
        with Image.open(shot) as image:
            image.convert("RGB").save(PICTURES / f"gallery-{name}.webp", quality=80, method=6)


def main() -> None:
    """Write all pictures."""
    # The pictures show the path of this folder, so it has a name of its own.
    folder = Path("/tmp/foxes")
    folder.mkdir()
    try:
        (folder / "jobs.csv").write_text(JOBS)
        with sandbox() as variables:
            draw(record(folder, variables))

        photograph(folder / "gallery" / "out")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
