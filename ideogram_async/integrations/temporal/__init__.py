"""Keyed calls as activities of Temporal workflows. Needs the extra `temporal`.

workflow ─▶ activity: `client.once`, recorded in the ledger before it is sent ─▶ activity: images into the sink
"""

from __future__ import annotations

from ideogram_async._requirements import needs_extra

with needs_extra(__name__, "temporal"):
    from temporalio import workflow

# Temporal imports the module of a workflow again, with all that it imports, and there would be two of each class.
if workflow.unsafe.in_sandbox() and not workflow.unsafe.is_imports_passed_through():
    raise ImportError(
        "pass ideogram_async through the sandbox of workflows: import it in a block"
        " `with workflow.unsafe.imports_passed_through():`"
    )

from ideogram_async import v2
from ideogram_async.integrations.temporal.calls import keep, paid
from ideogram_async.integrations.temporal.worker import activities

__all__ = ["activities", "keep", "paid"]

# A workflow cannot load a module itself, as `v2.Generate46` would at its first use.
for _name in v2.__all__:
    getattr(v2, _name)
