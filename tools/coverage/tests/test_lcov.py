"""Reports of several tests become one, as Bazel asks for it."""

from pathlib import Path

import pytest

from tools.coverage import lcov, merge

ONE = "SF:ml/a.py\nDA:1,1\nDA:2,0\nend_of_record\nSF:ml/b.py\nDA:1,0\nend_of_record\n"
TWO = "TN:two\nSF:ml/a.py\nFN:1,f\nDA:2,3,somehash\nDA:4,0\nLH:1\nLF:2\nend_of_record\n"


def test_how_often_a_line_ran_adds_up() -> None:
    merged = lcov.merge([lcov.read(ONE), lcov.read(TWO)])
    assert merged == {"ml/a.py": {1: 1, 2: 3, 4: 0}, "ml/b.py": {1: 0}}


def test_what_is_written_is_read_again() -> None:
    files = lcov.read(ONE)
    assert lcov.read(lcov.write(files)) == files
    assert "SF:ml/a.py\nDA:1,1\nDA:2,0\nLH:1\nLF:2\nend_of_record\n" in lcov.write(files)


def test_a_line_of_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'DA:1,1' belongs to no file"):
        lcov.read("DA:1,1\n")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.dat").write_text(ONE)
    (tmp_path / "deep/two.dat").write_text(TWO)
    (tmp_path / "other.gcov").write_text("not ours")
    return tmp_path


def test_of_a_test_s_folder_only_the_files_wanted_are_kept(reports: Path) -> None:
    (reports / "manifest").write_text("ml/a.py\nml/c.py\n")
    output = reports / "out"
    # As collect_coverage.sh calls it.
    arguments = [
        f"--coverage_dir={reports}",
        f"--output_file={output}",
        "--filter_sources=/usr/bin/.+",
        f"--source_file_manifest={reports / 'manifest'}",
    ]
    assert merge.main(arguments) == 0
    assert lcov.read(output.read_text()) == {"ml/a.py": {1: 1, 2: 3, 4: 0}}


def test_the_reports_of_all_tests_are_merged(reports: Path) -> None:
    listed = reports / "reports.txt"
    listed.write_text(f"{reports / 'one.dat'}\n{reports / 'deep/two.dat'}\n{reports / 'none'}\n")
    output = reports / "out"
    assert merge.main([f"--reports_file={listed}", f"--output_file={output}"]) == 0
    assert set(lcov.read(output.read_text())) == {"ml/a.py", "ml/b.py"}


def test_it_must_be_told_what_to_merge(reports: Path) -> None:
    with pytest.raises(SystemExit):
        merge.main([f"--output_file={reports / 'out'}"])
