"""What a test must not be able to do, tried for real."""

import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

# Prints the modules that the machine's own interpreter has installed for everybody.
LIST_INSTALLED = """
import pkgutil, site
print(*(module.name for module in pkgutil.iter_modules(site.getsitepackages())))
"""


def attempt(name: str, *arguments: str, home: Path | None = None) -> str:
    """The last line of an attempt's traceback; empty when it succeeded."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if home:
        environment["HOME"] = str(home)
    done = subprocess.run(
        [HERE / name, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def base_python(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs the interpreter that ours was made from, as a user of this machine would."""
    return subprocess.run(
        [sys._base_executable, *arguments],  # type: ignore[attr-defined]
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_socket_to_another_machine_has_no_route() -> None:
    assert "Network is unreachable" in attempt("open_socket")


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_a_package_of_the_user_is_invisible(tmp_path: Path) -> None:
    packages = tmp_path / ".local/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    (packages / "planted.py").write_text("")

    assert base_python("-c", "import planted", home=tmp_path).returncode == 0  # the bait works
    assert "No module named 'planted'" in attempt("import_undeclared", "planted", home=tmp_path)


def test_a_package_of_the_machine_is_invisible(tmp_path: Path) -> None:
    if sys.prefix != sys.base_prefix:  # the machine's interpreter, not one that was downloaded
        installed = base_python("-c", LIST_INSTALLED, home=tmp_path).stdout.split()
        for module in {"pip", "setuptools", "numpy"} & set(installed):
            assert f"No module named '{module}'" in attempt("import_undeclared", module)
    # Where nothing is installed, it must do that nothing of the machine is searched.
    path = [entry for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    assert path, "pytest's own folder should be here"
    assert all(".runfiles/" in entry or entry.startswith(sys.prefix) for entry in path)


def test_a_package_that_another_target_declares_is_invisible() -> None:
    assert "No module named 'pytest'" in attempt("import_undeclared", "pytest")


def test_a_file_that_is_not_declared_cannot_be_read() -> None:
    assert attempt("read_outside", "read_outside.py") == ""  # the attempt works
    assert "No such file" in attempt("read_outside", "BUILD.bazel")


def test_tests_do_not_run_as_root() -> None:
    assert os.getuid() != 0
