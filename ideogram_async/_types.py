"""Types of the client's signatures. They load when a signature is evaluated, so that importing the client is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async._accepted import Accepted as Accepted
    from ideogram_async._batch.batch import Batch as Batch
    from ideogram_async._batch.report import Plan as Plan
    from ideogram_async._batch.report import Report as Report
    from ideogram_async._batch.source import Jobs as Jobs
    from ideogram_async._download.stream import ImageStream as ImageStream
    from ideogram_async._ledger.entries import Ledger as Ledger
    from ideogram_async._limiter.limiter import Limiter as Limiter
    from ideogram_async._namespaces import Datasets as Datasets
    from ideogram_async._namespaces import Legacy as Legacy
    from ideogram_async._namespaces import Models as Models
    from ideogram_async._namespaces import Namespace as Namespace
    from ideogram_async._namespaces_v2 import V2 as V2
    from ideogram_async._namespaces_v2 import Account as Account
    from ideogram_async._namespaces_v2 import Generations as Generations
    from ideogram_async._namespaces_v2 import Webhooks as Webhooks
    from ideogram_async._pipeline.running_call import OnDone as OnDone
    from ideogram_async._pipeline.running_call import RunningCall as RunningCall
    from ideogram_async._pipeline.sessions import SessionFactory as SessionFactory
    from ideogram_async._sinks.sink import Sink as Sink
    from ideogram_async._sinks.sink import Stored as Stored
    from ideogram_async._transport.emitter import Listener as Listener
    from ideogram_async._transport.policy import Retry as Retry
    from ideogram_async._transport.policy import Timeout as Timeout
    from ideogram_async.v2.answers import Quote as Quote
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "_accepted": "Accepted",
            "_batch.batch": "Batch",
            "_batch.report": "Plan Report",
            "_batch.source": "Jobs",
            "_download.stream": "ImageStream",
            "_ledger.entries": "Ledger",
            "_limiter.limiter": "Limiter",
            "_namespaces": "Datasets Legacy Models Namespace",
            "_namespaces_v2": "Account Generations V2 Webhooks",
            "_pipeline.running_call": "OnDone RunningCall",
            "_pipeline.sessions": "SessionFactory",
            "_sinks.sink": "Sink Stored",
            "_transport.emitter": "Listener",
            "_transport.policy": "Retry Timeout",
            "v2.answers": "Quote",
        },
    )
