"""The list of what a project lets others import is what its code publishes."""

from pathlib import Path

import pytest

from tools.api import api
from tools.api.listing import listing, public_modules, read_package

SOURCE = {
    "__init__.py": '"""A package."""\nfrom shop.till import Till, pay\n__all__ = ["Till", "pay"]\n',
    "till.py": (
        "import os\n"
        "LIMIT: float = 3.0\n"
        "_SECRET = 1\n"
        "def pay(amount, /, card, *, pin=None, **rest): ...\n"
        "def _count(): ...\n"
        "class Till:\n"
        "    total: float = 0\n"
        "    _key = 0\n"
        "    def __init__(self, name, size=1): ...\n"
        "    @property\n"
        "    def is_open(self): ...\n"
        "    @staticmethod\n"
        "    def parse(text): ...\n"
        "    def add(self, amount, *notes): ...\n"
        "    def _remove(self): ...\n"
    ),
    "_drawer.py": "def push(): ...\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    for name, text in SOURCE.items():
        path = Path("mall/shop", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [f"mall/shop/{name}" for name in SOURCE]


def test_public_names_are_listed_with_what_a_caller_gives(shop: list[str]) -> None:
    package = read_package(map(Path, shop), "shop")
    till = [
        "shop.till.Till",
        "shop.till.Till.__init__(name, size=)",
        "shop.till.Till.add(amount, *notes)",
        "shop.till.Till.is_open",
        "shop.till.Till.parse(text)",
        "shop.till.Till.total",
    ]
    assert list(listing(package, public_modules(package, []))) == [
        "shop",
        *[line.replace(".till", "") for line in till],
        "shop.pay(amount, /, card, *, pin=, **rest)",
        "shop.till",
        "shop.till.LIMIT",
        *till,
        "shop.till.pay(amount, /, card, *, pin=, **rest)",
    ]


def test_a_list_of_modules_leaves_out_the_others(shop: list[str]) -> None:
    package = read_package(map(Path, shop), "shop")
    assert public_modules(package, ["shop"]) == ["shop"]


def test_what_was_written_passes_until_a_name_is_removed(
    shop: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["mall/api.txt", "shop", *shop]
    assert api.main(["--write", *arguments]) == 0
    assert api.main(["--check", *arguments]) == 0
    Path("mall/shop/till.py").write_text(SOURCE["till.py"].replace("def add", "def _add"))
    assert api.main(["--check", *arguments]) == 1
    message = capsys.readouterr().err
    assert "-shop.till.Till.add(amount, *notes)" in message
    assert "./bazelw run //mall:api.update" in message


def test_a_project_without_a_list_fails(
    shop: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert api.main(["--check", "mall/api.txt", "shop", *shop]) == 1
    assert "+shop.till.LIMIT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "named"),
    [(["--module=shop.tills"], "no such module: shop.tills"), ([], "no mall/__init__.py")],
)
def test_a_module_that_is_not_there_is_named(
    shop: list[str], capsys: pytest.CaptureFixture[str], more: list[str], named: str
) -> None:
    package = "shop" if more else "mall/"
    status = api.main(["--write", "mall/api.txt", package.rstrip("/"), *more, *shop])
    assert status == 1
    assert named in capsys.readouterr().err
