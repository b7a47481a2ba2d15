"""The site as it was built: all pages, each public module, a picture of the real edges."""

import html
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1]
SITE = DOCS / "site"
PACKAGES = {
    "ml": "fraud_ml",
    "connectors": "data_connector",
    "serving": "fraud_detect",
    "batch": "batch_proc",
    "research": "experiments",
}
LOADED = r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"'


def text_of(page: str) -> str:
    return re.sub(r"<[^>]+>", "", html.unescape((SITE / page).read_text()))


@pytest.mark.parametrize("project", PACKAGES)
def test_each_project_has_its_pages(project: str) -> None:
    assert f"{project}/index.html" in (SITE / "index.html").read_text()
    assert (SITE / project / "index.html").is_file()
    assert list((SITE / "reference").glob(f"{PACKAGES[project]}.*.html"))


def test_a_module_is_told_with_its_functions_and_their_arguments() -> None:
    page = text_of("reference/fraud_ml.metrics.html")
    assert "average_precision" in page
    assert "Parameters:" in page
    assert "Raises:" in page
    assert ":class:" not in page


def test_what_is_private_is_not_told() -> None:
    assert not list((SITE / "reference").glob("*._*.html"))
    assert "_ROWS_AT_ONCE" not in text_of("reference/fraud_ml.model.html")


def test_the_picture_is_there() -> None:
    assert (SITE / "docs/dependencies.svg").read_text().startswith("<svg")


def test_nothing_is_loaded_from_elsewhere() -> None:
    for page in SITE.rglob("*.html"):
        loaded = re.findall(LOADED, page.read_text())
        assert loaded == [], page
