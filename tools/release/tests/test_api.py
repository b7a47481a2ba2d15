"""What differs between two states of a project's interface."""

from __future__ import annotations

import pytest

from tools.release.api import differences, from_json, read_interface, to_json
from tools.release.errors import ReleaseError
from tools.release.projects import read_projects
from tools.release.tests.throwaway import FILES, write
from tools.release.versions import Change

BEFORE = '''
from dataclasses import dataclass
from enum import Enum

LIMIT = 3
_PRIVATE = 4

def fetch(source: str, *, retries: int = 0) -> list[str]:
    """Rows."""

async def wait(seconds: float = 1.0) -> None: ...

@dataclass(frozen=True, kw_only=True)
class Options:
    name: str
    size: int = 3

    @property
    def half(self) -> float:
        return self.size / 2

    @classmethod
    def usual(cls) -> "Options": ...

    def _hidden(self): ...

class Kind(Enum):
    A = "a"
'''


def interface(root, text: str, **more: str):
    write(root, FILES | {"lib/lib_a/work.py": text} | more)
    (library, _) = read_projects(root)
    return read_interface(root, library)


def changed(tmp_path, old: str, new: str) -> list[tuple[Change, str]]:
    assert BEFORE.count(old) == 1
    before = interface(tmp_path / "before", BEFORE)
    after = interface(tmp_path / "after", BEFORE.replace(old, new))
    return [(one.change, one.text) for one in differences(before, after)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("def fetch(", "def get(", "lib_a.work.fetch: public object was removed"),
        ("source: str, ", "", "lib_a.work.fetch(source): parameter was removed"),
        (
            "source: str,",
            "source: str, table: str,",
            "fetch(table): parameter was added",
        ),
        ("retries: int = 0", "retries: int = 1", "fetch(retries): parameter default was changed"),
        ("retries: int = 0", "retries: int", "fetch(retries): parameter is now required"),
        ("source: str, *, ", "*, source: str, ", "fetch(source): parameter kind was changed"),
        ("    size: int = 3\n", "    size: int\n", "(size): parameter is now required"),
        ("(Enum)", "", "lib_a.work.Kind: base class was removed"),
        ('    A = "a"', '    B = "a"', "lib_a.work.Kind.A: public object was removed"),
        ("LIMIT = 3", "_LIMIT = 3", "lib_a.work.LIMIT: public object was removed"),
        ("    def half", "    def third", "lib_a.work.Options.half: public object was removed"),
    ],
)
def test_what_breaks_a_user_is_told(tmp_path, old, new, told):
    found = changed(tmp_path, old, new)
    assert found[0][0] is Change.BREAK
    assert any(told in text for change, text in found if change is Change.BREAK), found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("LIMIT = 3", "LIMIT = 3\nOTHER = 4", "lib_a.work.OTHER is new"),
        ("retries: int = 0", "retries: int = 0, table: str = ''", "lib_a.work.fetch(table) is new"),
    ],
)
def test_what_is_new_is_told(tmp_path, old, new, told):
    assert changed(tmp_path, old, new) == [(Change.ADDITION, told)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Rows."""', '"""All rows."""'),
        ("_PRIVATE = 4", "_OTHER = 5"),
        ("def _hidden(self)", "def _other(self, more)"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "import json\nLIMIT = 3"),
    ],
)
def test_what_no_user_writes_down_is_no_difference(tmp_path, old, new):
    assert changed(tmp_path, old, new) == []


def test_a_module_that_is_gone_or_new_is_told(tmp_path):
    before = interface(tmp_path / "before", BEFORE)
    more = {"lib/lib_a/more.py": "X = 1\n", "lib/api.txt": f"{FILES['lib/api.txt']}lib_a.more\n"}
    after = interface(tmp_path / "after", BEFORE, **more)
    assert [one.text for one in differences(before, after)] == ["module lib_a.more is new"]
    assert [one.text for one in differences(after, before)] == ["module lib_a.more is gone"]


def test_an_option_that_is_gone_or_new_is_told(tmp_path):
    write(tmp_path / "before", FILES)
    write(tmp_path / "after", FILES)
    write(
        tmp_path / "after",
        {"app/app_b/main.py": FILES["app/app_b/main.py"].replace('"--number"', '"--count"')},
    )
    found = []
    for folder in ("before", "after"):
        (_, application) = read_projects(tmp_path / folder)
        found.append(read_interface(tmp_path / folder, application))
    assert [(one.change, one.text) for one in differences(*found)] == [
        (Change.BREAK, "option --number of app_b.main is gone"),
        (Change.ADDITION, "option --count of app_b.main is new"),
    ]


def test_modules_that_are_not_listed_are_no_interface(tmp_path):
    found = interface(tmp_path, BEFORE, **{"lib/lib_a/inner.py": "X = 1\n"})
    assert list(found.modules) == ["lib_a", "lib_a.work"]


def test_what_a_package_exports_counts_where_it_is_defined_elsewhere(tmp_path):
    files = {
        "lib/lib_a/__init__.py": '__version__ = "0.0.0"\n'
        'from lib_a._inner import thing\n\n__all__ = ["thing"]\n',
        "lib/lib_a/_inner.py": "def thing(x: int) -> int: ...\n",
        "lib/api.txt": "lib_a\n",
    }
    found = interface(tmp_path, BEFORE, **files)
    assert found.modules == {"lib_a": ("def thing(x: int) -> int: ...",)}


def test_without_the_list_of_what_is_public_it_is_told_how_to_make_it(tmp_path):
    write(tmp_path, FILES)
    (library, _) = read_projects(tmp_path)
    (tmp_path / "lib/api.txt").unlink()
    with pytest.raises(ReleaseError, match=r"api\.txt is missing: \./bazelw run //lib:api\.update"):
        read_interface(tmp_path, library)


def test_the_interface_is_read_as_it_was_written(tmp_path):
    found = interface(tmp_path, BEFORE)
    assert from_json(to_json(found), where="api.json") == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"modules": 1, "options": {}}'])
def test_another_file_is_refused(text):
    with pytest.raises(ReleaseError, match=r"^api\.json is not what :cut writes"):
        from_json(text, where="api.json")
