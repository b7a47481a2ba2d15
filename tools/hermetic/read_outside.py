"""Breaks out: reads the file beside this one that is named on the command line."""

import sys
from pathlib import Path

Path(__file__).with_name(sys.argv[1]).read_bytes()
