"""Workflows over all transactions: training, and the state of features from history; inference to come."""
