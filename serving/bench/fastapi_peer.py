"""The same by FastAPI, under uvicorn with one worker."""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI
from plain_model import PlainModel
from pydantic import BaseModel


class Transaction(BaseModel):
    """A payment."""

    transaction_id: int
    timestamp: int
    customer_id: int
    terminal_id: int
    amount: float


class Transactions(BaseModel):
    """Some payments."""

    transactions: list[Transaction]


class Model(BaseModel):
    """Which model answered."""

    name: str
    version: int


class Scored(BaseModel):
    """The answer to a payment."""

    transaction_id: int
    score: float
    decision: str
    model: Model


class ScoredList(BaseModel):
    """The answer to some payments."""

    transactions: list[Scored]


def make_app() -> FastAPI:
    """The service; paths and models as FastAPI's tutorial has them."""
    model = PlainModel()
    app = FastAPI()

    # `async`, although it computes: the state must be changed by one after the other, so the
    # threads of plain functions would only queue for a lock.
    @app.post("/predict")
    async def predict(transaction: Transaction) -> Scored:
        (answer,) = model.predict([transaction.model_dump()])
        return Scored(**answer)

    @app.post("/predict_many")
    async def predict_many(request: Transactions) -> ScoredList:
        answers: Any = model.predict([one.model_dump() for one in request.transactions])
        return ScoredList(transactions=answers)

    return app


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    # uvloop and httptools are installed, and so used; a line a request would cost some.
    uvicorn.run(make_app(), port=parser.parse_args().port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
