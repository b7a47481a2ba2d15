"""Which versions are proposed, and what stops a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.release import plan
from tools.release.api import read_interface, to_json
from tools.release.errors import ReleaseError
from tools.release.plan import plan_releases
from tools.release.projects import read_projects
from tools.release.tests.throwaway import FILES, LIBRARY, write

FOLDERS = {"lib": "lib_a", "app": "app_b"}


def released(root: Path, **versions: str) -> Path:
    """The two projects right after releases of these versions."""
    write(root, FILES)
    for folder, package in FOLDERS.items():
        for path in (root / folder / "changes").iterdir():
            path.unlink()
        version = versions.get(folder, "0.1.0")
        write(root, {f"{folder}/{package}/__init__.py": f'__version__ = "{version}"\n'})
    description = FILES["app/pyproject.toml"].replace(">=0.0.0,<0.1", ">=0.1.0,<0.2.0")
    write(root, {"app/pyproject.toml": description})
    for project in read_projects(root):
        write(root, {f"{project.folder}/api.json": to_json(read_interface(root, project))})
    return root


def proposed(root: Path, **options: bool) -> dict[str, str]:
    return {one.project.name: str(one.version) for one in plan_releases(root, **options)}


def test_first_releases(tmp_path):
    write(tmp_path, FILES)
    assert proposed(tmp_path) == {"lib-a": "0.1.0", "app-b": "0.1.0"}
    (_, application) = plan_releases(tmp_path)
    assert "0.1.5" in application.ranges["lib-a"]
    assert "0.2.0" not in application.ranges["lib-a"]


def test_without_a_change_there_is_nothing_new(tmp_path):
    assert proposed(released(tmp_path)) == {"lib-a": "0.1.0", "app-b": "0.1.0"}


def test_a_fix_is_released_alone(tmp_path):
    write(released(tmp_path), {"lib/changes/x.fixed.md": "Faster."})
    assert proposed(tmp_path) == {"lib-a": "0.1.1", "app-b": "0.1.0"}


def test_a_breaking_change_without_a_fragment_fails(tmp_path):
    write(released(tmp_path), {"lib/lib_a/work.py": LIBRARY.replace("double", "twice")})
    with pytest.raises(ReleaseError) as raised:
        plan_releases(tmp_path)
    told = str(raised.value)
    assert "lib-a: lib_a.work.double: public object was removed, and no fragment tells" in told
    assert "add lib/changes/<slug>.breaking.md" in told
    assert "lib_a.work.twice is new" in told


def test_a_breaking_change_with_a_fragment_of_another_kind_fails(tmp_path):
    write(
        released(tmp_path),
        {
            "lib/lib_a/work.py": LIBRARY.replace("times: int = 2", "times: int"),
            "lib/changes/times.added.md": "Say how many times.",
        },
    )
    with pytest.raises(ReleaseError, match=r"double\(times\): parameter is now required"):
        plan_releases(tmp_path)


def test_an_addition_without_a_fragment_fails(tmp_path):
    write(released(tmp_path), {"lib/lib_a/work.py": f"{LIBRARY}\n\nMORE = 1\n"})
    with pytest.raises(ReleaseError, match=r"MORE is new, .* lib/changes/<slug>\.added\.md"):
        plan_releases(tmp_path)


def test_who_needs_what_broke_is_released_with_it_and_asks_for_it(tmp_path):
    write(
        released(tmp_path, lib="0.1.3"),
        {
            "lib/lib_a/work.py": LIBRARY.replace("number", "x"),
            "lib/changes/x.breaking.md": "`number` is called `x`.",
        },
    )
    assert proposed(tmp_path) == {"lib-a": "0.2.0", "app-b": "0.1.1"}
    (_, application) = plan_releases(tmp_path)
    assert str(application.ranges["lib-a"]) == "<0.3.0,>=0.2.0"
    assert [one.text for one in application.fragments] == ["Needs lib-a >=0.2.0,<0.3.0."]


def test_a_fragment_can_tell_of_a_break_that_no_signature_shows(tmp_path):
    write(
        released(tmp_path, lib="1.4.2"), {"lib/changes/x.breaking.md": "Files of old are refused."}
    )
    assert proposed(tmp_path)["lib-a"] == "2.0.0"


def test_one_version_for_all(tmp_path):
    root = released(tmp_path, lib="0.1.4", app="0.3.0")
    write(root, {"lib/changes/x.breaking.md": "All is different."})
    assert proposed(root) == {"lib-a": "0.2.0", "app-b": "0.3.1"}
    assert proposed(root, one_version=True) == {"lib-a": "0.4.0", "app-b": "0.4.0"}
    (_, application) = plan_releases(root, one_version=True)
    assert str(application.ranges["lib-a"]) == "<0.5.0,>=0.4.0"


def test_one_version_without_a_change_stays(tmp_path):
    root = released(tmp_path, lib="0.1.4", app="0.3.0")
    assert proposed(root, one_version=True) == {"lib-a": "0.1.4", "app-b": "0.3.0"}


def test_an_interface_that_is_lost_is_an_error(tmp_path):
    (released(tmp_path) / "lib/api.json").unlink()
    with pytest.raises(ReleaseError, match=r"lib/api\.json is missing: take it from the tag"):
        plan_releases(tmp_path)


def test_an_unreleased_section_is_an_error(tmp_path):
    changelog = f"{FILES['lib/CHANGELOG.md']}\n## Unreleased\n\n- x\n"
    write(tmp_path, FILES | {"lib/CHANGELOG.md": changelog})
    with pytest.raises(ReleaseError, match=r"lib/CHANGELOG\.md: .* make each a file in changes/"):
        plan_releases(tmp_path)


def test_a_version_that_is_none_is_an_error(tmp_path):
    write(tmp_path, FILES | {"lib/lib_a/__init__.py": '__version__ = "1.0"\n'})
    with pytest.raises(ReleaseError, match=r"lib/lib_a/__init__\.py: '1\.0' is no version"):
        plan_releases(tmp_path)


def test_the_command_shows_the_plan(tmp_path, monkeypatch, capsys):
    write(released(tmp_path), {"lib/changes/x.fixed.md": "Faster."})
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert plan.main([]) == 0
    assert capsys.readouterr().out == (
        "lib-a 0.1.1 (was 0.1.0): fix\n  fixed     Faster.\napp-b 0.1.0: nothing new\n"
    )


def test_the_command_fails_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert plan.main([]) == 1
    assert "has no project" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        plan.main(["--unknown"])
