"""A real Postgres for the tests of a session, in a temporary folder, that can be stopped and started."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

from support.installed import find

__all__ = ["PostgresServer", "new_schema"]

# Debian keeps it out of the path.
NAMES = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)), "postgres"]
# The server refuses to run as root.
USER = "postgres" if os.geteuid() == 0 else None
FAST = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """A server on a free port of this machine.

    Args:
        is_durable: Whether a commit reaches the disk before it is confirmed.
    """

    def __init__(self, *, is_durable: bool = False) -> None:
        self._programs = Path(find(*NAMES)).parent
        self._folder = Path(mkdtemp(prefix="ideogram-postgres-"))
        self._settings = {} if is_durable else FAST
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]

        self.dsn = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        if USER is not None:
            shutil.chown(self._folder, USER)

        self._run("initdb", "--username=tester", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "max_connections": 200,
            "shared_buffers": "16MB",
            **self._settings,
        }
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "start", "--wait", "--silent", f"--log={self._folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Stop it as a crash would: connections end, and what was not committed is lost."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode=immediate")

    def dump(self, schema: str) -> str:
        """Return all that a schema contains, as text, with the contents of columns of bytes."""
        dump = self._run("pg_dump", f"--schema={schema}", self.dsn)
        return re.sub(r"\\\\x([0-9a-f]+)", lambda match: bytes.fromhex(match[1]).decode(errors="replace"), dump)

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        env = {**os.environ, "PGDATA": str(self._folder / "data")}
        # The server must not keep a pipe of this process open.
        output = subprocess.PIPE if program == "pg_dump" else subprocess.DEVNULL
        run = subprocess.run(command, env=env, stdout=output, user=USER, cwd="/", text=True, check=True)
        return run.stdout or ""


def new_schema() -> str:
    """Return the name of a schema that no other test uses."""
    return f"test_{uuid4().hex}"
