"""The command that serves a sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal

from ideogram_async._plural import pluralize
from ideogram_async._prices import parse_usd
from ideogram_async.sandbox.rules import IMAGE_FORMATS
from ideogram_async.sandbox.sandbox import Sandbox

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m ideogram_async sandbox") -> int:
    """Serve a sandbox until SIGINT or SIGTERM, then print what was billed.

    Args:
        argv: The arguments without the program's name; `None` uses those of the process.
        prog: The program's name in the help.

    Returns:
        The exit code: 0, or 1 if the port is in use or Pillow is missing. Invalid arguments exit with 2.
    """
    options = _parser(prog).parse_args(argv)
    sandbox = Sandbox(**vars(options))
    try:
        asyncio.run(_serve(sandbox))
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"port {options.port}: {error.strerror}; choose another with --port\n")
        return 1

    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve a local replacement of the Ideogram API: same behavior and billing, without the cost.",
        epilog=f"example: {prog} --port 8700 --latency 2-8",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--max-in-flight", type=int, default=10, help="images in progress at once (default: 10)")
    parser.add_argument(
        "--latency", type=_latency, default=0.0, help="seconds that a charged call takes, or a range such as 2-8"
    )
    parser.add_argument("--balance-usd", type=_usd, help="amount in USD that can be billed before the reply is 402")
    parser.add_argument("--image-format", type=str.upper, choices=IMAGE_FORMATS, default="PNG", help="default: PNG")
    parser.add_argument("--seed", type=int, default=0, help="seed of the seeds and latencies (default: 0)")
    parser.add_argument("--control", action="store_true", help="serve commands for tests, such as GET /sandbox/ledger")
    return parser


def _latency(text: str) -> float | tuple[float, float]:
    low, dash, high = text.partition("-")
    return (float(low), float(high)) if dash else float(low)


def _usd(text: str) -> Decimal:
    try:
        return parse_usd("the balance", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _serve(sandbox: Sandbox) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    async with sandbox:
        _print(
            f"Sandbox at {sandbox.url}; stop it with Ctrl-C.",
            f"export IDEOGRAM_BASE_URL={sandbox.url}",
            "export IDEOGRAM_API_KEY=sandbox",
        )
        await stopped.wait()

    ledger = sandbox.ledger
    calls, images = pluralize(len(ledger.entries), "call"), pluralize(ledger.billed_images, "image")
    _print(f"Billed {calls}, {images}, {ledger.billed_usd} USD.")


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
