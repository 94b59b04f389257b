"""A local server that behaves like the service, bills like it and fails on demand.

```python
async with Sandbox() as sandbox:
    sandbox.fail("generate", fault=Fault.html_502)
    ...  # any client, with `sandbox.url` as its base URL
    print(sandbox.ledger.billed_usd)
```

Needs Pillow: `pip install "ideogram-async[sandbox]"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async.sandbox.faults import Fault
    from ideogram_async.sandbox.sandbox import Sandbox
else:
    # Every run of pytest imports this package for its plugin, so nothing is loaded before it is used.
    __getattr__, __dir__ = lazy_exports(__name__, {"faults": "Fault", "sandbox": "Sandbox"})

__all__ = ["Fault", "Sandbox"]
