"""The recipe for AWS Lambda, as a function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.clients import CANARY
from support.paths import ROOT

from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.thread import running_in_thread

BLOCK = re.compile(r"^```python\n# (purchases|lambda_function)\.py\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_an_event_that_is_repeated_is_paid_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each event is one call, however often Lambda repeats it."""
    for name, code in BLOCK.findall((ROOT / "docs" / "engines.md").read_text()):
        code = code.replace("PostgresLedger", "SqliteLedger")
        (tmp_path / f"{name}.py").write_text(code)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LEDGER", str(tmp_path / "calls.sqlite3"))
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    with running_in_thread(Sandbox()) as sandbox:
        monkeypatch.setenv("IDEOGRAM_BASE_URL", sandbox.url)
        from lambda_function import handler

        answers = [handler({"id": name, "prompt": f"a fox, {name}"}, None) for name in ("one", "one", "two")]

        assert answers[0] == answers[1]
        assert 2 == len(sandbox.ledger.entries)
