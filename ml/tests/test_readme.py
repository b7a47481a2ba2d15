import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_readmes_example_runs_and_finds_frauds():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    shown = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", example],
        env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    ap = re.fullmatch(r"average precision (0\.\d{3})\n", shown.stdout)
    assert float(ap[1]) > 0.5


def test_features_do_not_load_pytorch():
    program = (
        "import sys, fraud_ml.features, fraud_ml.simulator, fraud_ml.splits, fraud_ml.metrics\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "False\n"
