"""The wheels, installed by pip into an empty environment, do what their READMEs show."""

from __future__ import annotations

import pytest

from tools.wheel.installed import Environment, run_examples
from tools.wheel.tests.tree import PROJECTS, installed_all, wheel_of, wheels_of_all


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    wheels = wheels_of_all(tmp_path_factory.mktemp("wheels"))
    return installed_all(tmp_path_factory.mktemp("installed") / "environment", wheels)


@pytest.mark.parametrize("folder", PROJECTS)
def test_the_readmes_examples_run(environment, folder, tmp_path):
    printed = run_examples(environment, wheel_of(folder), tmp_path)
    said = {
        "ml": "average precision 0.",
        "connectors": "",
        "serving": '"score":',
        "batch": "version 1",
    }
    assert said[folder] in printed[0]
