"""Real-time scoring of transactions with a stored model."""
