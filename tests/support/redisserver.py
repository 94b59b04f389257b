"""A real redis-server for one test: started on a socket file, stopped, frozen and flushed as the test likes."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from redis import Redis

__all__ = ["REDIS_SERVER", "RedisServer", "Snapshot"]

PATIENCE = 30
REDIS_SERVER = shutil.which("redis-server")


@define
class Snapshot:
    """What stands in Redis at one moment."""

    holding: dict[str, list[int]] = field(factory=dict)
    """Process -> the weights that it holds."""
    waiting: dict[str, list[int]] = field(factory=dict)
    """Process -> the weights that it waits with."""
    expires_at: dict[str, float] = field(factory=dict)
    """Process -> when it counts as dead, by the clock of Redis."""
    congestion: dict[str, Any] | None = None

    @property
    def in_flight(self) -> int:
        return sum(map(sum, self.holding.values()))

    @property
    def queued(self) -> int:
        return sum(map(len, self.waiting.values()))


class RedisServer:
    """Keeps nothing on disk: stopped and started again, it has forgotten everything."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[str] | None = None
        # A test that asks a frozen one fails; it does not hang.
        self._redis = Redis.from_url(self.url, socket_timeout=PATIENCE)

    def start(self) -> None:
        """Start it, and wait until it listens; it has half a minute."""
        words = [str(REDIS_SERVER), "--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=self._socket.parent)
        assert self._process.stdout is not None
        guard = threading.Timer(PATIENCE, self._process.kill)
        guard.start()
        try:
            for line in self._process.stdout:
                if "eady to accept connections" in line:
                    return
        finally:
            guard.cancel()

        raise RuntimeError("redis-server has ended, or said nothing")

    def stop(self) -> None:
        """Stop it, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

        self._redis.close()

    def freeze(self) -> None:
        """Let it hold every connection, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close_with(self, password: str) -> None:
        """Let in nobody but who knows it."""
        self._redis.config_set("requirepass", password)

    def flush(self) -> None:
        """Let it forget everything."""
        self._redis.flushall()

    @property
    def state(self) -> str:
        """Say whether it runs."""
        code = None if self._process is None else self._process.poll()
        return "stopped" if self._process is None else "runs" if code is None else f"has ended with {code}"

    @property
    def keys(self) -> list[str]:
        """Name all keys."""
        return sorted(key.decode() for key in self._redis.keys("*"))

    def connections(self) -> int:
        """Count the connections, without the one that asks."""
        return len(self._redis.client_list()) - 1

    def snapshot(self, account: str = "default") -> Snapshot:
        """Look at what an account's processes have written down."""
        slots, congestion = (f"ideogram:{{{account}}}:{name}" for name in ("slots", "congestion"))
        snapshot = Snapshot(congestion=json.loads(self._redis.get(congestion) or "null"))
        for name, record in self._redis.hgetall(slots).items():
            calls = json.loads(record)
            snapshot.expires_at[name.decode()] = calls["expires"] / 1000
            snapshot.holding[name.decode()] = [weight for _, weight, _ in calls["holding"]]
            snapshot.waiting[name.decode()] = [weight for _, weight, *_ in calls["waiting"]]

        return snapshot

    def run(self, script: str, keys: list[str], args: list[str]) -> Any:
        """Run a script."""
        return self._redis.eval(script, len(keys), *keys, *args)

    def time(self) -> float:
        """Ask for its clock, in seconds."""
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6

    def expires_in(self, key: str) -> int:
        """Return how many milliseconds a key has left."""
        return int(self._redis.pttl(key))

    def age(self, milliseconds: int) -> None:
        """Take so much from the time that the keys have left."""
        for key in self._redis.keys("*"):
            self._redis.pexpire(key, self._redis.pttl(key) - milliseconds)

    async def until(self, fits: Callable[[Snapshot], bool], account: str = "default") -> Snapshot:
        """Look at the table again and again until it fits; it has half a minute."""
        async with asyncio.timeout(PATIENCE):
            while not fits(snapshot := self.snapshot(account)):
                await asyncio.sleep(0.005)

        return snapshot
