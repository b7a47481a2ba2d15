"""Workflows over all transactions: training, inference, and the state of features from history."""
