"""Workflows over all transactions: training and inference today, backfill to come."""
