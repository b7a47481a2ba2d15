"""Experiments with every library of the repository; nothing depends on them."""
