"""The network that scores transactions: raw features in, calibrated log-odds of fraud out.

It is an ensemble within one module: *groups* that share nothing, each of a few *members* that share
all but a few vectors while they train, as in TabM (Gorishniy et al., ICLR 2025). Numbers enter
through piecewise linear embeddings (Gorishniy et al., NeurIPS 2022), to which jumps are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fraud_ml.net_tables import NetTables

_ROWS_AT_ONCE = 512  # when scored: what a layer makes of them stays in a core's cache


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of a :class:`FraudNet`.

    Defaults are the best of 20 random trials on the handbook's validation folds:
    ``//research:compare --trials 20``.
    """

    n_groups: int = 4
    n_members: int = 2
    """Of each group."""
    n_pieces: int = 8
    """Of a number's embedding."""
    max_categories: int = 128
    """Values of a category with an embedding of their own; the rarer ones share one."""
    embedding: int = 4
    """Width of a feature's embedding."""
    n_layers: int = 2
    width: int = 64
    dropout: float = 0.0
    """The trials' best had 0.019, which gains nothing (AP on the validation folds .7620, and .7625
    without) and makes training longer."""

    def __post_init__(self) -> None:
        for name, least in (
            ("n_groups", 2),
            ("n_members", 1),
            ("n_pieces", 1),
            ("max_categories", 1),
            ("embedding", 1),
            ("n_layers", 1),
            ("width", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")


class NumberEmbedding(nn.Module):
    """Embeds numbers by how far, and whether, they go beyond edges; and NaN as missing.

    Between two edges the embedding is linear, and at an edge it may jump. So it follows smooth
    effects as networks do, and sees thresholds as trees do: all payments above 220, say.
    Where no value was missing in training, a missing one counts as the usual one.

    **Shape**

    - Input: ``(B, F)``
    - Output: ``(F, B, G * E)``
    """

    low: Tensor
    per_width: Tensor
    usual: Tensor

    def __init__(self, n_features: int, config: ModelConfig) -> None:
        super().__init__()
        pieces = (n_features, config.n_pieces)
        self.register_buffer("low", torch.zeros(pieces))  # where each piece begins
        self.register_buffer("per_width", torch.zeros(pieces))  # 0 where there is no such piece
        self.register_buffer("usual", torch.zeros(n_features))
        n_out = config.n_groups * config.embedding
        self.weight = nn.Parameter(torch.randn(n_features, 2 * config.n_pieces + 1, n_out))
        self.bias = nn.Parameter(torch.zeros(n_features, 1, n_out))
        with torch.no_grad():
            self.weight.mul_((2 * config.n_pieces) ** -0.5)
            self.weight[:, -1] = 0  # of missing

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings of ``x``."""
        missing = x.isnan()[..., None]
        x = torch.where(missing, self.usual[:, None], x[..., None])
        filled = ((x - self.low) * self.per_width).clamp(0, 1)  # of each piece: (B, F, pieces)
        beyond = (x > self.low) & (self.per_width > 0)
        seen = torch.cat((filled, beyond.to(x.dtype), missing.to(x.dtype)), dim=-1)
        return torch.relu(torch.baddbmm(self.bias, seen.transpose(0, 1), self.weight))


class CategoryEmbedding(nn.Module):
    """Embeds category codes; one vector for all that are rare or unseen, one for missing.

    **Shape**

    - Input: ``(B, C)``, codes as :class:`~fraud_ml.feature_spec.ColumnFeature` defines them
    - Output: ``(C, B, G * E)``
    """

    codes: Tensor

    def __init__(self, n_features: int, config: ModelConfig) -> None:
        super().__init__()
        codes = torch.full((n_features, config.max_categories), -1.0)  # no value's code
        self.register_buffer("codes", codes)
        n_out = config.n_groups * config.embedding
        self.weight = nn.Parameter(torch.randn(n_features, config.max_categories + 2, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings of ``x``."""
        known = x[..., None] == self.codes
        missing = x.isnan()[..., None]
        other = ~(known.any(-1, keepdim=True) | missing)
        one_hot = torch.cat((known, other, missing), dim=-1).to(x.dtype)  # (B, C, codes + 2)
        return torch.bmm(one_hot.transpose(0, 1), self.weight)


class GroupLinear(nn.Module):
    """A linear layer for each of M members of each of G groups, whose members have one input.

    **Shape**

    - Input: ``(G, B, D)``
    - Output: ``(G * M, B, E)``
    """

    def __init__(self, config: ModelConfig, n_in: int, n_out: int) -> None:
        super().__init__()
        self.shape = (config.n_members, n_out)
        # Members side by side, so that one product a group serves all.
        self.weight = nn.Parameter(torch.empty(config.n_groups, n_in, config.n_members * n_out))
        self.bias = nn.Parameter(torch.empty(config.n_groups, 1, config.n_members * n_out))
        _initialise(self.weight, self.bias, n_in)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, member by member."""
        product = torch.baddbmm(self.bias, x, self.weight)
        by_member = product.view(*product.shape[:2], *self.shape).transpose(1, 2)
        return by_member.flatten(0, 1)


class MemberLinear(nn.Module):
    """A linear layer for each of K members.

    **Shape**

    - Input: ``(K, B, D)``
    - Output: ``(K, B, E)``
    """

    def __init__(self, config: ModelConfig, n_in: int, n_out: int) -> None:
        super().__init__()
        n_members = config.n_groups * config.n_members
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_out))
        _initialise(self.weight, self.bias, n_in)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, member by member."""
        return torch.baddbmm(self.bias, x, self.weight)


def _initialise(weight: Tensor, bias: Tensor, n_in: int) -> None:
    bound = n_in**-0.5  # as nn.Linear
    nn.init.uniform_(weight, -bound, bound)
    nn.init.uniform_(bias, -bound, bound)


class FraudNet(nn.Module):
    """The calibrated log-odds of fraud from raw features.

    Scaling, embeddings, the treatment of missing values and calibration are inside, so no caller
    can forget them. The members' probabilities are averaged, not their log-odds: the mean is
    calibrated when the members are, and it hides the luck of a single seed.

    **Shape**

    - Input: ``(B, F)``, float32, in the features' own units; NaN is missing
    - Output: ``(B,)``, log-odds
    """

    number_columns: Tensor
    category_columns: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, categories: Sequence[bool], config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.categories = tuple(categories)
        # Where the numbers and the categories are among the features.
        columns = torch.arange(len(self.categories))
        is_category = torch.tensor(self.categories, dtype=torch.bool)
        self.register_buffer("number_columns", columns[~is_category], persistent=False)
        self.register_buffer("category_columns", columns[is_category], persistent=False)
        self.number = NumberEmbedding(len(self.number_columns), config)
        self.category = CategoryEmbedding(len(self.category_columns), config)
        n_embedded = len(columns) * config.embedding
        self.first = GroupLinear(config, n_embedded, config.width)
        self.hidden = nn.ModuleList(
            MemberLinear(config, config.width, config.width) for _ in range(config.n_layers - 1)
        )
        self.last = MemberLinear(config, config.width, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def embed(self, x: Tensor) -> Tensor:
        """All features' embeddings, numbers before categories: shape ``(G, B, F * E)``."""
        embedded: Tensor = self.number(x[:, self.number_columns])  # (F, B, G * E)
        if len(self.category_columns):
            of_categories = self.category(x[:, self.category_columns])
            embedded = torch.cat((embedded, of_categories))
        shape = (self.config.n_groups, self.config.embedding)
        by_group = embedded.view(*embedded.shape[:2], *shape)
        return by_group.permute(2, 1, 0, 3).flatten(2)

    def member_logits(self, x: Tensor) -> Tensor:
        """Each member's log-odds, before calibration, group by group: shape ``(G * M, B)``."""
        x = self.dropout(torch.relu(self.first(self.embed(x))))
        for layer in self.hidden:
            x = self.dropout(torch.relu(layer(x)))
        return self.last(x).squeeze(-1)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of fraud: shape ``(B,)``."""
        logit: Tensor = self.slope * mean_logit(self.member_logits(x)) + self.offset
        return logit

    @torch.inference_mode()
    def score(self, x: Tensor) -> Tensor:
        """The probability of fraud, 0 to 1: shape ``(B,)``."""
        parts = torch.split(x, _ROWS_AT_ONCE)
        logits = self(x) if len(parts) == 1 else torch.cat([self(part) for part in parts])
        return torch.sigmoid(logits)

    def tables(self) -> NetTables:
        """The net as it is now, for :class:`fraud_ml.fast_net.FastNet`."""
        weights = {name: tensor.cpu().numpy() for name, tensor in self.state_dict().items()}
        return NetTables.of(weights, self.categories)


def mean_logit(logits: Tensor) -> Tensor:
    """The log-odds of the mean of K probabilities, from their log-odds: ``(K, B)`` to ``(B,)``."""
    # log(mean p) - log(mean (1 - p)); the mean's divisor cancels.
    fraud = torch.logsumexp(nn.functional.logsigmoid(logits), dim=0)
    honest = torch.logsumexp(nn.functional.logsigmoid(-logits), dim=0)
    return fraud - honest
