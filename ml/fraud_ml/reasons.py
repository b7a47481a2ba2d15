"""Why a transaction scored high: the features that raised it, in words with their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fraud_ml._words import in_words
from fraud_ml.attribution import Attributor
from fraud_ml.feature_spec import FeatureSpec, RowFeature, RowValue, WindowFeature
from fraud_ml.model import FraudNet


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A feature that raised a score."""

    feature: str
    value: float
    """NaN where it was missing."""
    contribution: float
    """To the log-odds of fraud, above those of a usual payment."""
    text: str
    """For an investigator: ``amount 512.40 is 6.1 × this customer's usual``."""


class Explainer:
    """Gives the reasons of one model's scores."""

    def __init__(self, net: FraudNet, spec: FeatureSpec) -> None:
        """Prepares the explanation of ``net``, which takes the features of ``spec``."""
        if net.categories != spec.categories:
            raise ValueError("the net takes other features than the spec has")
        self._attributor = Attributor(net)
        self._spec = spec
        by_name = dict(zip(spec.names, spec.features, strict=True))
        self._deciding = [
            by_name[it.unless.feature] if isinstance(it, WindowFeature) and it.unless else None
            for it in spec.features
        ]

    def explain(
        self,
        features: npt.NDArray[np.float32],
        transactions: Sequence[Mapping[str, object]] | None = None,
        *,
        at_most: int = 3,
    ) -> list[list[Reason]]:
        """The reasons of each of B transactions, the strongest first; none where nothing raised.

        Args:
            features: shape ``(B, F)``, NaN where missing.
            transactions: B of them, to name the values of categories, of which features have only
                codes.
            at_most: so many reasons a transaction.
        """
        found = self._attributor.attribute(torch.from_numpy(features))
        contributions = found.contributions.numpy()
        strongest = np.argsort(-contributions, axis=1)[:, :at_most]
        amount = self._amounts(features)
        return [
            [
                Reason(
                    feature=self._spec.names[column],
                    value=float(features[row, column]),
                    contribution=float(contributions[row, column]),
                    text=in_words(
                        self._spec.features[column],
                        float(features[row, column]),
                        amount=amount[row],
                        transaction=transactions[row] if transactions is not None else {},
                        deciding=self._deciding[column],
                    ),
                )
                for column in columns.tolist()
                if contributions[row, column] > 0
            ]
            for row, columns in enumerate(strongest)
        ]

    def _amounts(self, features: npt.NDArray[np.float32]) -> list[float | None]:
        for column, feature in enumerate(self._spec.features):
            if isinstance(feature, RowFeature) and feature.value is RowValue.AMOUNT:
                return [float(amount) for amount in features[:, column]]
        return [None] * len(features)
