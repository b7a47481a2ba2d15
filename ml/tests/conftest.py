import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# The same examples on every machine, and none kept: a red test is red for everybody.
# How fast a busy machine draws them says nothing about the code.
settings.register_profile(
    "hermetic",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hermetic")
# What it learns from reading the sources goes here, not into the source tree.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")
