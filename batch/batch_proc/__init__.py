"""Workflows over all transactions: training, inference, and the state of features from history."""

__version__ = "0.0.0"
