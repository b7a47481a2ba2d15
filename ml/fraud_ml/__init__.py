"""Features, model, metrics and simulator of a fraud detector.

Import from the modules: ``fraud_ml.features``, ``fraud_ml.training`` and so on. This file
imports nothing, so that a program which needs only features does not load PyTorch.
"""

__version__ = "0.0.0"
