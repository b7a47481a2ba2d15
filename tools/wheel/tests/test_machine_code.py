"""What machine code in a wheel makes of its tag."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from tools.wheel.build_wheel import WheelError, build_wheel
from tools.wheel.machine_code import PURE, MachineCodeError, retagged, tag_of
from tools.wheel.tests.tree import files_of, wheel_of

ML = files_of("ml")
CODE = ML["fraud_ml/native_net.so"]
NUMBER = 18  # where the family of processors stands


def of_processor(number: int) -> bytes:
    return CODE[:NUMBER] + number.to_bytes(2, "little") + CODE[NUMBER + 2 :]


def test_machine_code_makes_it_a_wheel_of_its_processor_for_any_linux_since_2014():
    tags = {tag_of({"a.so": of_processor(number)}) for number in (62, 183)}
    assert tags == {f"py3-none-manylinux_2_17_{name}" for name in ("x86_64", "aarch64")}
    assert tag_of({"a.py": b"print()", "b.txt": b""}) == PURE


def test_the_wheel_of_the_machine_is_one_that_its_pip_takes():
    *_, tags = parse_wheel_filename(wheel_of("ml").name)
    assert tags & set(sys_tags())


def test_the_wheel_says_so_itself():
    with zipfile.ZipFile(wheel_of("ml")) as archive:
        (about,) = (name for name in archive.namelist() if name.endswith("-info/WHEEL"))
        lines = archive.read(about).decode().splitlines()
    assert f"Tag: {tag_of(ML)}" in lines
    assert "Root-Is-Purelib: false" in lines


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.so": Path(sys.executable).read_bytes()}, r"a\.so needs .*libc\.so.*no library"),
        ({"a.so": CODE, "b.so": of_processor(183 + 62 - CODE[NUMBER])}, "of aarch64 and x86_64"),
        ({"a.so": of_processor(243)}, r"a\.so: it is for a processor of another family"),
    ],
)
def test_code_of_which_it_cannot_be_told_where_it_runs_is_refused(files, told):
    with pytest.raises(MachineCodeError, match=told):
        tag_of(files)


def test_such_code_makes_no_wheel(tmp_path):
    with pytest.raises(WheelError, match="the wheel of fraud_ml: x.so: it is for a processor"):
        build_wheel(ML | {"x.so": of_processor(243)}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wheel_of_another_form_than_is_known_is_refused(tmp_path):
    wheel = tmp_path / f"a-1-{PURE}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a-1.dist-info/WHEEL", "Tag: py3-none-any\n")
    with pytest.raises(MachineCodeError, match="flit_core writes no 'Root-Is-Purelib: true'"):
        retagged(wheel, "py3-none-linux")
