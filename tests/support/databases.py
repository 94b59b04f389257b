"""Databases for DBOS."""

from __future__ import annotations

import sqlite3
import sys
from uuid import uuid4

import psycopg
import pytest

from support.postgres import PostgresServer

__all__ = ["needs_sqlite", "new_database", "runs_on_sqlite"]


def runs_on_sqlite() -> bool:
    """Return whether DBOS works with this SQLite: on newer Pythons its tables need a function of SQLite 3.42."""
    return sys.version_info < (3, 12) or sqlite3.sqlite_version_info >= (3, 42)


def needs_sqlite() -> None:
    """Skip a test of DBOS on SQLite where that does not work."""
    if not runs_on_sqlite():
        pytest.skip(f"DBOS needs SQLite 3.42 on this Python, not {sqlite3.sqlite_version}")


def new_database(server: PostgresServer) -> str:
    """Create a database, and return its URL."""
    name = f"dbos_{uuid4().hex}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")

    return f"{server.dsn.rpartition('/')[0]}/{name}"
