"""Order of the system calls of a batch: what is durable before a call is sent, and before an image is recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.installed import find
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess

STEPS = {
    r"fdatasync\(\d+<[^>]+/journal\.sqlite3-wal>": "sync journal",
    r"pwrite64\(\d+<[^>]+/sends>": "write counter",
    r"fdatasync\(\d+<[^>]+/sends>": "sync counter",
    r'sendto\(\d+<[^>]*>, "POST /v1/': "send",
    r"fsync\(\d+<[^>]+/out/\.job-0-0\.png\.\w+\.part>": "sync image",
    r'linkat\(.*"job-0-0.png"': "link image",
    r"fsync\(\d+<[^>]+/out>": "sync folder",
}


def read_steps(path: Path) -> list[str]:
    """Return the names of the steps, in the order in which they ended."""
    names: list[str] = []
    unfinished: dict[str, str | None] = {}
    for line in path.read_text(errors="replace").splitlines():
        thread, text = line.split(maxsplit=1)
        name = next((name for pattern, name in STEPS.items() if re.search(pattern, text)), None)
        if "<unfinished ...>" in text:
            unfinished[thread], name = name, None
        elif " resumed>" in text:
            name = unfinished.pop(thread)

        names += [name] if name is not None else []

    return names


def test_what_is_durable_before_a_call_and_before_its_image_is_recorded(tmp_path: Path):
    """The call is recorded and counted before its first byte; its image is synced, linked and synced, then recorded."""
    trace = ["-f", "-y", "--seccomp-bpf", "-e", "trace=fdatasync,fsync,linkat,pwrite64,sendto", "-o", "trace"]
    with SandboxProcess() as sandbox:
        program = [sys.executable, str(SUPPORT / "batch_program.py"), sandbox.url, "out", "1"]
        process = subprocess.run([find("strace"), *trace, *program], cwd=tmp_path, capture_output=True, text=True)

    if process.returncode and "ptrace" in process.stderr:
        pytest.skip("no permission to trace a process")

    steps = read_steps(tmp_path / "trace")
    counted, sent, synced = map(steps.index, ("write counter", "send", "sync image"))
    stored = steps.index("sync folder", synced)
    # The journal also records that the input was read to its end, at any time.
    others = [step for step in steps[counted:] if step != "sync journal"]

    assert ["write counter", "sync counter", "send", "sync image", "link image", "sync folder"] == others
    assert "sync journal" in steps[:counted]
    assert "sync journal" in steps[sent:synced]
    assert "sync journal" in steps[stored:]
