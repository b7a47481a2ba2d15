"""Breaks out: imports the module named on the command line, which no dependency provides."""

import importlib
import sys

importlib.import_module(sys.argv[1])
