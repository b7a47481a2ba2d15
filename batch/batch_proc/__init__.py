"""Workflows over all transactions: training today, inference and backfill to come."""
