"""The command that serves a box until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from ideogram_async.sandbox.sandbox import Sandbox

__all__ = ["main"]

_KEY = "sandbox"


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m ideogram_async sandbox") -> int:
    """Serve a box until SIGINT or SIGTERM, then say what was billed.

    Args:
        argv: The arguments, without the name of the program; `None` takes those of the process.
        prog: What help calls the program.

    Returns:
        The exit code: 0, or 1 when the port is taken or Pillow is missing. Wrong arguments exit with 2.
    """
    options = _parser(prog).parse_args(argv)
    box = Sandbox(
        port=options.port,
        max_in_flight=options.max_in_flight,
        latency=options.latency,
        balance_usd=options.balance_usd,
        image_format=options.image_format,
        seed=options.seed,
    )

    try:
        asyncio.run(_serve(box))
    except (ImportError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1

    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve a local stand-in for the Ideogram API: it behaves and bills alike, and costs nothing.",
    )
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: a free one)")
    parser.add_argument("--max-in-flight", type=int, default=10, help="images in the making at once (default: 10)")
    parser.add_argument(
        "--latency", type=_latency, default=0.0, help="seconds a generation takes, or a range such as 2-8"
    )
    parser.add_argument("--balance-usd", type=_money, help="what may be billed before the answer is 402")
    parser.add_argument(
        "--image-format", type=str.upper, choices=("PNG", "JPEG", "WEBP"), default="PNG", help="default: PNG"
    )
    parser.add_argument("--seed", type=int, default=0, help="what seeds and latencies are drawn from (default: 0)")
    return parser


def _latency(text: str) -> float | tuple[float, float]:
    low, dash, high = text.partition("-")
    return (float(low), float(high)) if dash else float(low)


def _money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of money") from None


async def _serve(box: Sandbox) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    async with box:
        _say(
            f"Sandbox at {box.url}; stop it with Ctrl-C.",
            f"export IDEOGRAM_BASE_URL={box.url}",
            f"export IDEOGRAM_API_KEY={_KEY}",
        )
        await stopped.wait()

    ledger = box.ledger
    _say(f"Billed {len(ledger.entries)} calls, {ledger.billed_images} images, {ledger.billed_usd} USD.")


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
