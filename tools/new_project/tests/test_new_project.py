"""What the command makes passes what every project must pass; what it refuses changes nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.api import api
from tools.new_project import new_project
from tools.new_project.lists import LISTS
from tools.new_project.templates import KINDS
from tools.ownership.owners import owners_of, parse_owners, problems
from tools.release.fragments import changelog_problem, read_fragments

FILES = [*LISTS, "requirements_lock.txt", "mypy.ini"]
RUFF = Path(os.environ["RUFF"]).absolute()
HERE = Path.cwd()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files in which projects are listed, alone in a folder."""
    for path in FILES:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / path)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a new project called zeppelin, as none will be, of each kind in turn."""
    root: Path = tmp_path_factory.mktemp(request.param)
    for path in FILES:
        (root / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, root / path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUILD_WORKSPACE_DIRECTORY", str(root))
        command = ["zeppelin", "--kind", request.param, "--owner", "@fraud-detect/zeppelin"]
        assert new_project.main(command) == 0
    return root


def run(root: Path, *command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def python_path(root: Path) -> str:
    return os.pathsep.join([str(root / "zeppelin"), *sys.path])


def test_it_is_linted_and_formatted(made: Path) -> None:
    options = ("--no-cache", "--config", "ruff.toml", "zeppelin")
    run(made, RUFF, "check", *options)
    run(made, RUFF, "format", "--diff", *options)


def test_its_types_are_right(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    ours = [made / "zeppelin", *(path for path in sys.path if path.startswith(str(HERE)))]
    files = sorted((made / "zeppelin/fraud_zeppelin").glob("*.py"))
    run(
        made,
        *(sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *files),
        MYPYPATH=os.pathsep.join(map(str, ours)),
        MYPY_CACHE_DIR=str(tmp_path_factory.getbasetemp() / "types"),  # one for all kinds
        PYTHONPATH=python_path(made),
    )


def test_its_tests_pass(made: Path) -> None:
    options = ("-c", HERE / "tools/pytest/pytest.ini", "--rootdir", made)
    command = (sys.executable, "-m", "pytest", *options, "zeppelin/tests")
    run(made, *command, PYTHONPATH=python_path(made), HOME=str(made))


def test_it_has_an_owner(made: Path) -> None:
    text = (made / "CODEOWNERS").read_text()
    folders = {line.pattern.strip("/") for line in parse_owners(text)} - {"*", "CODEOWNERS"}
    assert "zeppelin" in folders
    assert list(problems(text, folders, ["README.md", "CODEOWNERS"])) == []
    assert owners_of("zeppelin/README.md", parse_owners(text)) == ("@fraud-detect/zeppelin",)


def test_its_interface_is_listed(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    modules = re.search(r"^    modules = \[(.*?)\],$", build_file(made), re.M | re.S)
    names = re.findall(r'"(.*?)"', modules[1] if modules else "")
    arguments = [f"--module={name}" for name in names]
    files = map(str, Path("zeppelin/fraud_zeppelin").glob("*.py"))
    command = ["--check", "zeppelin/api.txt", "fraud_zeppelin", *arguments, *files]
    assert api.main(command) == 0


def test_it_is_documented_and_listed(made: Path) -> None:
    assert "`./bazelw test //zeppelin/...`" in (made / "zeppelin/README.md").read_text()
    changelog = (made / "zeppelin/CHANGELOG.md").read_text()
    assert changelog.startswith("# Changelog of zeppelin\n")
    assert changelog_problem(changelog) is None
    assert [fragment.text for fragment in read_fragments(made / "zeppelin")] == ["The project."]
    assert "\n| [`zeppelin`](zeppelin/README.md) | zeppelin |" in (made / "README.md").read_text()
    assert "[zeppelin](zeppelin/CHANGELOG.md)." in (made / "CHANGELOG.md").read_text()
    assert '"fraud_zeppelin", "tools"]' in (made / "ruff.toml").read_text()
    assert re.search(
        r'^    "zeppelin": \("\w+", "fraud_zeppelin"\),$',
        (made / "tools/projects.bzl").read_text(),
        re.MULTILINE,
    )


def test_nothing_is_left_to_fill_in(made: Path) -> None:
    for path in (made / "zeppelin").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert "{{" not in path.read_text(), path
            assert not path.name.endswith(".in")


def build_file(root: Path) -> str:
    return (root / "zeppelin/BUILD.bazel").read_text()


def contents(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in files}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ml"], "there is a ml in"),
        (["Console"], "project 'Console': a name has up to 40 lower-case letters"),
        (["a-b"], "project 'a-b': a name has"),
        (["../x"], "project '../x': a name has"),
        (["c" * 41], "a name has up to 40"),
        (["tools"], "project 'tools': the name is taken"),
        (["bazel_out"], "the name is taken"),
        (["zeppelin", "--package", "json"], "package 'json' would hide Python's own"),
        (["zeppelin", "--package", "numpy"], "package 'numpy' is a dependency of ours"),
        (["zeppelin", "--package", "fraud_ml"], "package 'fraud_ml' is another project's"),
        (["zeppelin", "--package", "fraud.ml"], "package 'fraud.ml': a name has"),
        (["zeppelin", "--owner", "me"], "owner 'me' is neither"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    (tree / "ml").mkdir()
    before = contents(tree)
    assert new_project.main([*arguments, "--kind", "library"]) == 1
    assert named in capsys.readouterr().err
    assert contents(tree) == before


@pytest.mark.parametrize("arguments", [[], ["zeppelin"], ["zeppelin", "--kind", "ui"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        new_project.main(arguments)
    assert exit_.value.code == 2


@pytest.mark.parametrize("path", sorted(LISTS))
def test_a_list_that_has_another_form_is_named_and_nothing_is_made(
    tree: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    (tree / path).write_text("another form\n")
    before = contents(tree)
    assert new_project.main(["zeppelin", "--kind", "lab"]) == 1
    assert f"{path} is not as it is known here" in capsys.readouterr().err
    assert contents(tree) == before


def test_a_failure_halfway_is_undone(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(tree)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    assert new_project.main(["zeppelin", "--kind", "workflow"]) == 1
    assert "Permission denied" in capsys.readouterr().err
    assert contents(tree) == before


def test_a_second_project_of_the_same_name_is_refused(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new_project.main(["zeppelin", "--kind", "service"]) == 0
    before = contents(tree)
    assert new_project.main(["zeppelin", "--kind", "service"]) == 1
    assert "there is a zeppelin in" in capsys.readouterr().err
    assert contents(tree) == before
