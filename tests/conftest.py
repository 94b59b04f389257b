"""Settings of all tests."""

from __future__ import annotations

import os

from support.paths import TESTS

# Programs that the tests start import `support`, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
