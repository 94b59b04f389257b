"""`python -m ideogram_async.cli`, the same as the command `ideogram-async`."""

from __future__ import annotations

import sys

from ideogram_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
