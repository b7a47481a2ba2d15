"""A handler as TorchServe's documentation shows it: a `BaseHandler` with its three steps.

It is packed by `torch-model-archiver` and served with the default configuration: one worker a
core, one request at a time, the usual log and metrics, and JSON read by TorchServe itself.
"""

from __future__ import annotations

from typing import Any

import torch
from plain_model import PlainModel
from torch import Tensor
from ts.torch_handler.base_handler import BaseHandler


class PlainHandler(BaseHandler):  # type: ignore[misc]
    """One transaction, or a list of them."""

    def initialize(self, context: Any) -> None:
        """Loads the model: not from the archive, as the others do not either."""
        self.manifest = context.manifest
        self.device = torch.device("cpu")
        self.model = PlainModel()
        self.initialized = True

    def preprocess(self, data: list[dict[str, Any]]) -> Tensor:
        """The features of what was sent; by default TorchServe gives one request at a time."""
        (request,) = data
        body = request.get("data") or request.get("body")
        self.transactions = body.get("transactions", [body])
        self.is_single = "transactions" not in body
        return self.model.features(self.transactions)

    def inference(self, data: Tensor) -> Tensor:
        """The scores."""
        return self.model.score(data)

    def postprocess(self, data: Tensor) -> list[Any]:
        """One answer a request."""
        answers = self.model.answers(self.transactions, data)
        return answers if self.is_single else [{"transactions": answers}]
