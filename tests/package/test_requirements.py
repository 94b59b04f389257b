"""What is missing is named in one line: an extra, or an operating system with file locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.folders import write_folder

GALLERY = "from ideogram_async.batch import Folder; folder = Folder('.'); folder.report(); folder.gallery()"
UNWRAP = """
from ideogram_async.webhooks import unwrap
values = {"Generation-Id": "a", "User-Id": "b", "Timestamp": "1", "Signature": "0" * 128}
unwrap(b"{}", {f"X-Ideogram-Webhook-{name}": value for name, value in values.items()}, [])"""
SANDBOX = "import asyncio; from ideogram_async.sandbox import Sandbox; asyncio.run(Sandbox().start())"


def run_python(script: str, folder: Path) -> list[str]:
    """Run a script that must fail, and return the lines of its error output."""
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    return run.stderr.splitlines()


@pytest.mark.parametrize(
    ("script", "missing", "feature", "extra"),
    [
        ("import ideogram_async.integrations.fastapi", "starlette", "ideogram_async.integrations.fastapi", "fastapi"),
        ("import ideogram_async.integrations.dbos", "dbos", "ideogram_async.integrations.dbos", "dbos"),
        (
            "import ideogram_async.integrations.temporal",
            "temporalio",
            "ideogram_async.integrations.temporal",
            "temporal",
        ),
        ("import ideogram_async.integrations.redis", "redis", "ideogram_async.integrations.redis", "redis"),
        ("import ideogram_async.integrations.otel", "opentelemetry", "ideogram_async.integrations.otel", "otel"),
        ("from ideogram_async.ledger import PostgresLedger", "psycopg", "PostgresLedger", "postgres"),
        (UNWRAP, "cryptography", "ideogram_async.webhooks", "webhooks"),
        (GALLERY, "jinja2", "the gallery", "cli"),
        (GALLERY, "PIL", "the gallery", "cli"),
        (SANDBOX, "PIL", "ideogram_async.sandbox", "sandbox"),
    ],
)
def test_a_missing_extra_is_named(tmp_path: Path, script: str, missing: str, feature: str, extra: str):
    """A missing extra is named by the first line that needs it; the lines before it work."""
    write_folder(tmp_path, [])
    lines = run_python(f"import sys; sys.modules[{missing!r}] = None\n{script}", tmp_path)

    assert f"ImportError: {feature} needs the extra {extra}: pip install 'ideogram-async[{extra}]'" == lines[-1]
    assert 1 == sum(line.startswith("Traceback") for line in lines)


def test_a_missing_library_is_named(tmp_path: Path):
    """The driver of Postgres is there without its C library, which pip can install as well."""
    blocked = "import sys, ctypes.util; sys.modules.update(psycopg_c=None, psycopg_binary=None)"
    script = (
        f"{blocked}\nctypes.util.find_library = lambda name: None\nfrom ideogram_async.ledger import PostgresLedger"
    )
    lines = run_python(script, tmp_path)

    assert "ImportError: PostgresLedger needs the library libpq: pip install 'psycopg[binary]'" == lines[-1]


def test_a_module_of_the_package_is_no_extra(tmp_path: Path):
    """A fault of the package itself is shown as it is."""
    blocked = "ideogram_async.integrations.redis.limiter"
    lines = run_python(f"import sys; sys.modules['{blocked}'] = None\nimport {blocked}", tmp_path)

    assert lines[-1].startswith(f"ModuleNotFoundError: import of {blocked} halted")


def test_windows_is_refused_with_the_reason(tmp_path: Path):
    """The first import says why, and what works instead."""
    lines = run_python("import sys; sys.platform = 'win32'\nimport ideogram_async", tmp_path)

    assert lines[-1].startswith("ImportError: ideogram_async does not run on Windows, which lacks the file locks ")
    assert "WSL" in lines[-1]
