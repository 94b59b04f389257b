"""Regression tests of interrupts at bad moments."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import Invoke

from ideogram_async.cli.interrupts import run_async


def test_a_signal_in_another_thread_interrupts_the_loop():
    """The system may deliver a signal to any thread: it interrupts an event loop that waits for nothing else."""

    def interrupt(ident: int) -> None:
        # A loop that does not wait yet would handle the signal anyway.
        time.sleep(0.2)
        signal.pthread_kill(ident, signal.SIGINT)

    async def wait() -> None:
        threading.Thread(target=lambda: interrupt(threading.get_ident())).start()
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run_async(wait())


def test_interrupts_while_the_loop_ends_change_nothing(capfd: pytest.CaptureFixture[str]):
    """The command is over: its result counts, and nothing is printed."""

    async def interrupt() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)

    async def main() -> str:
        tasks.append(asyncio.create_task(interrupt()))
        await asyncio.sleep(0)
        return "done"

    tasks: list[asyncio.Task[None]] = []
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        result = run_async(main())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    assert ("done", ("", "")) == (result, capfd.readouterr())


def test_an_interrupt_ends_a_loop_that_waits_for_a_thread():
    """A blocked thread, such as that of a DNS lookup, does not keep the command alive."""
    blocked = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, blocked.wait)
        tasks.append(asyncio.create_task(interrupt()))
        await asyncio.sleep(0)

    async def interrupt() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(signal.SIGINT)
            # Until the loop handles it.
            await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            run_async(main())
    finally:
        blocked.set()


def test_exit_130_an_interrupt_while_it_begins(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """There is no traceback."""

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ideogram_async.cli.app.run", interrupted)

    completed = invoke("doctor")

    assert (130, "", "") == (completed.code, completed.out, completed.err)


def test_exit_130_an_interrupt_while_an_interrupt_is_reported(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """The output does not claim that nothing was sent."""

    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    Path("jobs.jsonl").write_text(json.dumps({"operation": "generate", "id": "fox", "prompt": "a fox"}))
    monkeypatch.setattr("ideogram_async.cli.batch.session.run_batch", interrupted)
    monkeypatch.setattr("ideogram_async.cli.batch.session.print_error", interrupted)

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 130 == completed.code
    assert "Nothing was" not in completed.err
