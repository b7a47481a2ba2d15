"""Measures which lines a test runs, when `bazel coverage` asks for it.

Bazel names a folder for the result and the files that it wants to hear of. What coverage.py found
goes there in LCOV's format, with paths as the workspace has them. Python processes that the test
starts are measured too, unless they are killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Machine code of Numba's leaves no trace, so its functions count neither as run nor as missed.
EXCLUDED = (r"^\s*@compiled\b", r"if TYPE_CHECKING:")

# Python runs one file of the name, so it runs the one that it would have run.
_STARTS_IN_CHILDREN = "\n\nimport coverage\n\ncoverage.process_startup()\n"


@contextmanager
def measured() -> Iterator[None]:
    """Measures what runs inside, where Bazel wants to know it; nothing otherwise."""
    folder = os.environ.get("COVERAGE_DIR")
    if os.environ.get("COVERAGE") != "1" or not folder:
        yield
        return
    wanted = _wanted_files(Path(os.environ["COVERAGE_MANIFEST"]))
    work = Path(os.environ["TEST_TMPDIR"]) / "coverage"
    settings = _prepare(work, list(wanted.values()))
    import coverage

    measuring = coverage.Coverage(config_file=str(settings))
    measuring.start()
    try:
        yield
    finally:
        measuring.stop()
        measuring.save()
        measuring.combine([str(work)])
        report = _lcov(measuring, wanted)
        (Path(folder) / "python.dat").write_text(report, encoding="utf-8")


def _wanted_files(manifest: Path) -> dict[str, Path]:
    """Where each file is that Bazel wants to hear of, by its path in the workspace."""
    paths = manifest.read_text(encoding="utf-8").split("\n")
    # Coverage.py follows links, and in a sandbox every file is one.
    return {path: Path(path).resolve() for path in paths if path.endswith(".py")}


def _prepare(work: Path, files: list[Path]) -> Path:
    """Makes the folder of data and settings, which children find by the environment."""
    work.mkdir()
    settings = work / "coveragerc"
    lines = [
        *("[run]", f"data_file = {work / 'data'}", "parallel = true"),
        *("concurrency = thread, multiprocessing", "include ="),
        *(f"    {file}" for file in files),
        *("[report]", "exclude_also ="),
        *(f"    {pattern}" for pattern in EXCLUDED),
    ]
    settings.write_text("\n".join([*lines, ""]), encoding="utf-8")
    starting = work / "in_children"
    starting.mkdir()
    (starting / "sitecustomize.py").write_text(_startup() + _STARTS_IN_CHILDREN, encoding="utf-8")
    os.environ["COVERAGE_PROCESS_START"] = str(settings)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(starting), *([before] if before else [])])
    return settings


def _startup() -> str:
    """The source of what this Python ran when it started, if it ran anything."""
    file = getattr(sys.modules.get("sitecustomize"), "__file__", None)
    return Path(file).read_text(encoding="utf-8") if file else ""


def _lcov(measuring: Any, files: dict[str, Path]) -> str:
    """The lines of each file, 1 if it ran and 0 if not, of those too that nobody imported."""
    lines = []
    for path, file in sorted(files.items()):
        if not file.exists():
            continue
        _, statements, _, missing, _ = measuring.analysis2(str(file))
        missed = set(missing)
        lines.append(f"SF:{path}")
        lines += [f"DA:{line},{int(line not in missed)}" for line in statements]
        lines.append("end_of_record")
    return "\n".join([*lines, ""])
