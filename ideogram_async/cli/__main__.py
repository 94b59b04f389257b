"""`python -m ideogram_async.cli`, the same as the command `ideogram-async`."""

from __future__ import annotations

from ideogram_async.cli import run_process

if __name__ == "__main__":
    run_process()
