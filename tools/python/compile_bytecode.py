"""Compiles a package's Python files into one archive, which startup/sitecustomize.py reads.

Usage: compile_bytecode @FILE, whose lines are ARCHIVE and then the Python files

The archive is one file, since each file more is a link more in every test's sandbox: the magic
number of this Python's bytecode, the index's size (4 bytes, little-endian), the index, and the
modules' code. The index is a marshalled dict from the path inside `site-packages` to the offset,
from the index's end, and the length of the marshalled code. The same sources make the same bytes.
"""

import marshal
import sys
import warnings
from importlib.util import MAGIC_NUMBER
from pathlib import Path

_FOLDER = "site-packages/"


def compiled(source: bytes, name: str) -> bytes | None:
    """The marshalled code; None for what does not compile, a template or Python 2."""
    try:
        return marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
    except (SyntaxError, ValueError, RecursionError):
        return None


def archive(sources: dict[str, bytes]) -> bytes:
    """The archive of sources by their path inside `site-packages`."""
    index: dict[str, tuple[int, int]] = {}
    code = bytearray()
    # In order, for marshalling depends a little on what was compiled before.
    for name, source in sorted(sources.items()):
        if module := compiled(source, name):
            index[name] = (len(code), len(module))
            code += module
    head = marshal.dumps(index)
    return b"".join([MAGIC_NUMBER, len(head).to_bytes(4, "little"), head, code])


def main(arguments: str) -> None:
    """Writes the archive."""
    # What a package's authors should hear of is none of ours.
    warnings.simplefilter("ignore")
    output, *files = Path(arguments.removeprefix("@")).read_text(encoding="utf-8").splitlines()
    sources = {file.partition(f"/{_FOLDER}")[2]: Path(file).read_bytes() for file in files}
    Path(output).write_bytes(archive(sources))


if __name__ == "__main__":
    main(*sys.argv[1:])
