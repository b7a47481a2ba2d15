"""The test of an experiment: it runs on its small parameters, and its folder says what is true.

Usage: study_trial FOLDER CODEOWNERS
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from experiments.study import Study
from experiments.study_code import code_of
from experiments.study_folder import StudyError, problems, read_config


def main(given: str, codeowners: str) -> int:
    """0, or 1 with what is wrong on standard error."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side
    folder = Path(given).absolute()
    lines = Path(codeowners).read_text(encoding="utf-8").splitlines()
    owners = {word for line in lines for word in line.split("#")[0].split()[1:]}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as kept:
        try:
            config = read_config(folder)
            study = Study(
                name=config.name,
                parameters=config.with_parameters(config.small),
                seed=config.seed,
                small=True,
                folder=Path(kept),
            )
            code_of(folder)(study)
            wrong = list(problems(folder, sorted(owners), study))
        except StudyError as error:
            wrong = [str(error)]
    sys.stderr.writelines(f"{folder.name}: {line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
