"""Web app whose purchases are made once for each key, for several processes with one ledger."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from ideogram_async import Generate, Ideogram
from ideogram_async.integrations.fastapi import Buy, idempotent, install_error_handlers, lifespan
from ideogram_async.ledger import SqliteLedger

ledger = SqliteLedger(os.environ["LEDGER"], lease=0.4)
app = FastAPI(lifespan=partial(lifespan, client=Ideogram(ledger=ledger)))
install_error_handlers(app)
buying = idempotent(scope=lambda request: "ann")


@app.post("/hero")
async def hero(buy: Annotated[Buy, Depends(buying)], prompt: str = "a red fox") -> dict[str, Any]:
    """Buy an image."""
    return (await buy(Generate(prompt))).to_dict()
