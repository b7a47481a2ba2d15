"""Runs mypy over the files named on the command line, as a Bazel test.

The import path that Bazel made of the target's dependencies is what mypy sees too, so an import
that is not declared is an error here as it is at run time.
"""

import os
import sys
from pathlib import Path

from mypy.main import main

if __name__ == "__main__":
    files = [file for file in sys.argv[1:] if file.endswith(".py")]
    if not files:
        sys.exit("no Python file given: the test would pass whatever happens")
    # Ours among the folders on the path: a file's module name is relative to the nearest.
    ours = [folder for folder in sys.path if folder.startswith(str(Path.cwd()))]
    os.environ["MYPYPATH"] = os.pathsep.join(ours)
    # A test keeps nothing.
    os.environ["MYPY_CACHE_DIR"] = os.devnull
    main(args=["--config-file", "mypy.ini", *files], clean_exit=True)
