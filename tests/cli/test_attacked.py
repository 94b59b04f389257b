"""Regression tests of interrupts at bad moments."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import Invoke

from ideogram_async.cli.batch_loop import handle_interrupts
from ideogram_async.cli.console import run_async


async def test_three_interrupts_at_once():
    """The third interrupt counts as part of the second: nothing is logged, and each function is called once."""
    called: list[str] = []
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    with handle_interrupts(first=lambda: called.append("first"), second=lambda: called.append("second")):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

        while len(called) < 2:
            await asyncio.sleep(0)

        await asyncio.sleep(0)

    assert (["first", "second"], []) == (called, reports)


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
    monkeypatch.setattr("ideogram_async.cli.batch_run.run_batch", interrupted)
    monkeypatch.setattr("ideogram_async.cli.batch_run.print_error", interrupted)

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 130 == completed.code
    assert "Nothing was" not in completed.err
