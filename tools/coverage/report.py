"""Line coverage of each project, from what the last `bazel coverage` measured.

    ./bazelw coverage //ml/... //connectors/...
    ./bazelw run //tools/coverage:report -- --files

Exit code: 0, or 1 where a project is below what it must have; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.coverage import lcov

MEASURED = Path("bazel-out/_coverage/_coverage_report.dat")

LEAST = {"connectors": 90.0, "ml": 90.0}
"""Percent of lines that a project's tests must run. Others are shown as they are."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of something ran."""

    name: str
    lines: int
    ran: int

    @property
    def percent(self) -> float:
        """Share of the lines that ran, in percent; 100 where there are none."""
        return 100 * self.ran / self.lines if self.lines else 100.0


def by_file(files: Mapping[str, lcov.Lines]) -> list[Coverage]:
    """The coverage of each file, in order."""
    return [
        Coverage(path, len(lines), sum(count > 0 for count in lines.values()))
        for path, lines in sorted(files.items())
    ]


def by_project(files: list[Coverage]) -> list[Coverage]:
    """The coverage of each folder at the top of the tree."""
    projects: dict[str, list[Coverage]] = {}
    for file in files:
        projects.setdefault(file.name.split("/")[0], []).append(file)
    return [
        Coverage(name, sum(each.lines for each in group), sum(each.ran for each in group))
        for name, group in sorted(projects.items())
    ]


def shortfalls(projects: list[Coverage], least: Mapping[str, float]) -> Iterator[str]:
    """A line for each project that has less than it must, or was not measured."""
    measured = {project.name: project for project in projects}
    for name, percent in sorted(least.items()):
        project = measured.get(name)
        if project is None or not project.lines:
            yield f"{name} was not measured; run: ./bazelw coverage //{name}/..."
        elif project.percent < percent:
            yield f"{name}: {project.percent:.1f} % of its lines ran, {percent:g} % must"


def compiled_lines(source: str) -> int:
    """How many lines of a file are functions that Numba compiles, and so are not measured."""
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and "compiled" in [ast.unparse(decorator) for decorator in node.decorator_list]
    )


def missed(lines: lcov.Lines) -> str:
    """The numbers of lines that did not run, those that follow each other as a range."""
    ranges: list[list[int]] = []
    for number in sorted(lines):
        if lines[number]:
            ranges.append([])  # a line between that ran
        elif ranges and ranges[-1]:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, each)) for each in ranges if each)


def show(
    files: Mapping[str, lcov.Lines], workspace: Path, console: Console, *, all_files: bool
) -> None:
    """The tables: projects, and where it is asked for, files with the lines that did not run."""
    each = by_file(files)
    table = Table("project", *("lines", "ran", "%", "compiled, not measured"))
    for project in by_project(each):
        if not project.lines:
            continue  # not asked for
        sources = [workspace / path for path in files if path.startswith(f"{project.name}/")]
        machine = sum(compiled_lines(path.read_text("utf-8")) for path in sources if path.exists())
        table.add_row(
            *(project.name, str(project.lines), str(project.ran)),
            *(f"{project.percent:.1f}", str(machine or "")),
        )
    console.print(table)
    if all_files:
        table = Table("file", "lines", "%", "did not run")
        for file in each:
            table.add_row(
                file.name, str(file.lines), f"{file.percent:.1f}", missed(files[file.name])
            )
        console.print(table)


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", action="store_true", help="each file, and what did not run")
    parser.add_argument("--report", type=Path, default=MEASURED, help="in LCOV's format")
    parser.add_argument(
        *("--project", "-p"),
        action="append",
        choices=sorted(LEAST),
        help="which must have enough; all of these unless given",
    )
    options = parser.parse_args(arguments)
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    report = workspace / options.report
    if not report.exists():
        command = "./bazelw coverage //ml/... //connectors/..."
        sys.stderr.write(f"error: no {report}; run first: {command}\n")
        return 2
    files = lcov.read(report.read_text(encoding="utf-8"))
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(files, workspace, console, all_files=options.files)
    least = {name: LEAST[name] for name in options.project or LEAST}
    found = list(shortfalls(by_project(by_file(files)), least))
    for line in found:
        console.print(f"error: {line}", soft_wrap=True, markup=False, highlight=False)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
