"""A real redis-server for one test, on a socket file, that can be stopped, frozen and flushed."""

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

from support.installed import find

__all__ = ["REDIS_SERVER", "RedisServer", "Snapshot"]

TIMEOUT = 30
REDIS_SERVER = shutil.which("redis-server")


@define
class Snapshot:
    """The contents of Redis at one moment."""

    holding: dict[str, list[int]] = field(factory=dict)
    """Weights of the calls that hold slots, by process."""
    waiting: dict[str, list[int]] = field(factory=dict)
    """Weights of the queued calls, by process."""
    expires_at: dict[str, float] = field(factory=dict)
    """End of the lease, by process and the clock of Redis."""
    congestion: dict[str, Any] | None = None

    @property
    def in_flight(self) -> int:
        return sum(map(sum, self.holding.values()))

    @property
    def queued(self) -> int:
        return sum(map(len, self.waiting.values()))


class RedisServer:
    """A server without persistence: after a restart it is empty.

    Args:
        folder: The folder of its socket.
        port: A port to listen on, too.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._port = port
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[str] | None = None
        # With a frozen server a test fails instead of hanging.
        self._redis = Redis.from_url(self.url, socket_timeout=TIMEOUT)

    def start(self) -> None:
        """Start it, and wait until it listens, for at most half a minute."""
        command = [find("redis-server"), "--port", str(self._port), "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self._socket.parent)
        assert self._process.stdout is not None
        guard = threading.Timer(TIMEOUT, self._process.kill)
        guard.start()
        try:
            for line in self._process.stdout:
                if "eady to accept connections" in line:
                    return
        finally:
            guard.cancel()

        raise RuntimeError("redis-server ended, or did not start in time")

    def stop(self) -> None:
        """Stop it, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

        self._redis.close()

    def freeze(self) -> None:
        """Suspend it: connections stay open without replies."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def require_password(self, password: str) -> None:
        """Refuse connections without this password."""
        self._redis.config_set("requirepass", password)

    def flush(self) -> None:
        """Delete all data."""
        self._redis.flushall()

    @property
    def state(self) -> str:
        """Return whether it runs."""
        code = None if self._process is None else self._process.poll()
        return "stopped" if self._process is None else "runs" if code is None else f"has ended with {code}"

    @property
    def keys(self) -> list[str]:
        """Return all keys."""
        return sorted(key.decode() for key in self._redis.keys("*"))

    def connections(self) -> int:
        """Return the number of connections, without this one."""
        return len(self._redis.client_list()) - 1

    def snapshot(self, account: str = "default") -> Snapshot:
        """Return what the processes of an account have recorded."""
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
        """Return its clock, in seconds."""
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6

    def expires_in(self, key: str) -> int:
        """Return the remaining milliseconds of a key."""
        return int(self._redis.pttl(key))

    def age(self, milliseconds: int) -> None:
        """Subtract milliseconds from the remaining time of all keys."""
        for key in self._redis.keys("*"):
            self._redis.pexpire(key, self._redis.pttl(key) - milliseconds)

    async def until(self, condition: Callable[[Snapshot], bool], account: str = "default") -> Snapshot:
        """Wait until a condition on the snapshot holds, for at most half a minute."""
        async with asyncio.timeout(TIMEOUT):
            while not condition(snapshot := self.snapshot(account)):
                await asyncio.sleep(0.005)

        return snapshot
