"""Program that uses an operation in every way, and prints what it saw: its method, its command, and its fields."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from ideogram_async import Ideogram, read_jobs
from ideogram_async.cli import main
from ideogram_async.sandbox import Sandbox

__all__: list[str] = []


async def use(method: str, command: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Call the operation, estimate it, and run it as a row of a jobs file, in a sandbox."""
    Path("jobs.jsonl").write_text(json.dumps({"operation": command, **fields}))
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        operation = attrgetter(method)(client)
        request = operation.request_class(**fields)
        answer = await operation(**fields)
        paid = sandbox.ledger.billed_usd
        await client.run_batch(read_jobs("jobs.jsonl"), "out")
        return {
            "summary": (inspect.getdoc(operation) or "").partition("\n")[0],
            "images": len(answer),
            "estimated": str(client.estimate(request).usd),
            "paid": str(paid),
            "stored": len(list(Path("out").rglob("*.png"))),
            "operations": sorted({request.operation for request in sandbox.requests if request.method == "POST"}),
        }


if __name__ == "__main__":
    _, method, command, text = sys.argv
    fields = json.loads(text)
    options = [word for name, value in fields.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    if main([*command.split(), *options, "--dry-run", "--json"]):
        sys.exit("the command failed")

    json.dump(asyncio.run(use(method, command, fields)), sys.stdout)
