"""The bytecode of packages: what the archive has, and that Python takes modules from there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import compile_bytecode
import pytest
import sitecustomize

STARTUP = Path(sitecustomize.__file__).parent
SOURCE = "said = 'source'\n"
COMPILED = "said = 'archive'\n"
SAYS = "import thing; print(thing.said, end='')"
Run = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package: the module `thing`."""
    folder = tmp_path / "repository" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "thing.py").write_text(SOURCE)
    return folder


@pytest.fixture
def python(package: Path) -> Run:
    """What a Python with the package and the startup file on its path prints."""

    def run(program: str, *options: str) -> str:
        return subprocess.run(
            [sys.executable, *options, "-c", program],
            env={
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": os.pathsep.join([str(STARTUP), str(package)]),
            },
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout

    return run


def put_archive(package: Path, content: bytes) -> None:
    package.with_suffix(".bytecode").write_bytes(content)


def archive_of(source: str, name: str = "thing.py") -> bytes:
    return compile_bytecode.archive({name: source.encode()})


def make_archive(folder: Path, sources: dict[str, str], seed: str) -> bytes:
    """What the program writes, in a process of its own, from files in the order given."""
    files = []
    for name, source in sources.items():
        file = folder / "site-packages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        files.append(str(file))
    (folder / "arguments").write_text("\n".join([str(folder / "archive"), *files]))
    command = [sys.executable, compile_bytecode.__file__, f"@{folder / 'arguments'}"]
    subprocess.run(command, env={"PYTHONHASHSEED": seed}, check=True)
    return (folder / "archive").read_bytes()


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    sources = {
        "a.py": "def f(x, y=(1, 'b')):\n    return x in {'u', 'v', None}\n",
        "p/b.py": "import a\n\nclass B:\n    u = a.f\n",
    }
    backwards = dict(reversed(sources.items()))
    one = make_archive(tmp_path / "one", sources, seed="1")
    assert one == make_archive(tmp_path / "two", backwards, seed="2")


def test_an_edit_of_a_source_is_another_archive() -> None:
    assert archive_of("a = 1\n") != archive_of("a = 2\n")


@pytest.mark.parametrize("bad", ["print 'python 2'\n", "name = {{ name }}_{% if %}\n", "a\0b"])
def test_what_does_not_compile_is_left_out(bad: str) -> None:
    sources = {"good.py": b"a = 1\n", "bad.py": bad.encode()}
    assert compile_bytecode.archive(sources) == archive_of("a = 1\n", "good.py")


def test_a_module_comes_from_the_archive(package: Path, python: Run) -> None:
    put_archive(package, archive_of(COMPILED))
    assert python(SAYS) == "archive"


def test_a_module_run_as_a_program_comes_from_the_archive(package: Path, python: Run) -> None:
    put_archive(package, archive_of("print('archive', end='')\n"))
    assert python("import runpy; runpy.run_module('thing')") == "archive"


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"1234" + archive_of(COMPILED)[4:],
        archive_of(COMPILED)[:20],
        archive_of(COMPILED)[:-20],
        archive_of(COMPILED, name="other.py"),
    ],
    ids=["missing", "empty", "another Python's", "cut index", "cut code", "without the module"],
)
def test_without_code_in_the_archive_the_source_is_compiled(
    package: Path, python: Run, content: bytes | None
) -> None:
    if content is not None:
        put_archive(package, content)
    assert python(SAYS) == "source"


def test_code_without_assertions_does_not_come_from_the_archive(package: Path, python: Run) -> None:
    put_archive(package, archive_of(COMPILED))
    assert python(SAYS, "-O") == "source"


def test_a_python_without_startup_compiles_the_source(package: Path, python: Run) -> None:
    put_archive(package, archive_of(COMPILED))
    assert python(SAYS, "-S") == "source"


def test_a_loader_that_compiles_in_its_own_way_still_does(package: Path, python: Run) -> None:
    put_archive(package, archive_of(COMPILED))
    said = python(f"""
from importlib.machinery import SourceFileLoader
class Loader(SourceFileLoader):
    def source_to_code(self, data, path):
        return compile("said = 'its own'", path, "exec")
print(Loader("thing", {str(package / "thing.py")!r}).load_module().said, end="")
""")
    assert said == "its own"


def test_a_traceback_shows_the_file_and_the_line(package: Path, python: Run) -> None:
    source = "def fail():\n    # a comment\n    raise ValueError('here')\n"
    (package / "thing.py").write_text(source)
    put_archive(package, archive_of(source))
    said = python("""
import thing, traceback
try:
    thing.fail()
except ValueError:
    print(traceback.format_exc())
""")
    assert f'File "{package / "thing.py"}", line 3, in fail\n    raise ValueError' in said


def test_packages_of_a_test_are_compiled() -> None:
    """The files that Bazel laid out for this very test."""
    program = """
from importlib.machinery import SourceFileLoader
def compiles(loader, data, path):
    raise AssertionError(path)
SourceFileLoader.source_to_code = compiles
import coverage, pytest
"""
    subprocess.run([sys.executable, "-c", program], check=True)
