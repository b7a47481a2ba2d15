"""Numbers as text: for people, for programs, and never half of it."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from batch_proc.measures import Measure, print_table, to_json, write_whole

MEASURES = [Measure("ap", 0.67812, "", "average precision"), Measure("rows", 1754155, "rows")]


def test_json_is_a_list_of_name_value_unit() -> None:
    assert json.loads(to_json(MEASURES)) == [
        {"name": "ap", "value": 0.67812, "unit": ""},
        {"name": "rows", "value": 1754155, "unit": "rows"},
    ]


def test_people_see_three_digits_and_thousands() -> None:
    shown = io.StringIO()
    print_table("title", MEASURES, Console(file=shown, width=100))
    for text in ("0.678", "1,754,155", "title"):
        assert text in shown.getvalue()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text("before")
    write_whole(file, "after")
    assert file.read_text() == "after"
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "after \udc80")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
