"""Real-time scoring of transactions with a stored model."""

__version__ = "0.0.0"
