"""Workflows over all transactions: training, and rebuilding the state of features."""
