"""The same by LitServe, with its batching."""

from __future__ import annotations

import argparse
from typing import Any

import litserve as ls
from plain_model import PlainModel

Transactions = list[dict[str, Any]]


class FraudAPI(ls.LitAPI):  # type: ignore[misc]
    """Batches of requests, each of one transaction or a list of them."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe gives it)
        """Loads the model, in the worker."""
        self.model = PlainModel()

    def decode_request(self, request) -> Transactions:  # type: ignore[no-untyped-def]
        """The transactions of one request; a type here would be FastAPI's, and another API."""
        transactions: Transactions = request.get("transactions", [request])
        return transactions

    def batch(self, inputs: list[Transactions]) -> list[Transactions]:
        """As they are: they have no shape to stack."""
        return inputs

    def predict(self, x: list[Transactions]) -> list[Transactions]:
        """The answers to all requests of the batch, by one pass."""
        answers = iter(self.model.predict([row for rows in x for row in rows]))
        return [[next(answers) for _ in rows] for rows in x]

    def unbatch(self, output: list[Transactions]) -> list[Transactions]:
        """As they are."""
        return output

    def encode_response(self, output: Transactions) -> dict[str, Any]:
        """One answer a request."""
        return output[0] if len(output) == 1 else {"transactions": output}


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    # As many as there are connections, so that no batch has to wait for the next; 1 ms, because
    # one connection waits for it in vain.
    api = FraudAPI(max_batch_size=64, batch_timeout=0.001)
    # ZeroMQ, as its documentation says for more than 100 requests a second. One worker, as all
    # but the plain TorchServe have: each would have to count what the others have scored.
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=parser.parse_args().port,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
