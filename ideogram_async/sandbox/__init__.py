"""A local server that behaves like the service, bills like it and fails on demand.

```python
async with Sandbox() as box:
    box.fail("generate", fault=Fault.html_502)
    ...  # any client, with `box.url` as its base
    print(box.ledger.billed_usd)
```

Needs Pillow: `pip install "ideogram-async[sandbox]"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ideogram_async.sandbox.box import Sandbox
    from ideogram_async.sandbox.faults import Fault

__all__ = ["Fault", "Sandbox"]


def __getattr__(name: str) -> object:
    # Every run of pytest imports this package for its plugin, so nothing is loaded before it is used.
    if name == "Sandbox":
        from ideogram_async.sandbox.box import Sandbox

        return Sandbox
    if name == "Fault":
        from ideogram_async.sandbox.faults import Fault

        return Fault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
