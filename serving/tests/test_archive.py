"""An archive is the same bytes for the same model, and nothing but a name and a version."""

import json
import zipfile

from fraud_detect.archive import write_archive


def test_two_archives_of_a_version_are_the_same_bytes(tmp_path) -> None:
    paths = [tmp_path / "one.mar", tmp_path / "two.mar"]
    for path in paths:
        write_archive(path, name="fraud", version="7")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    write_archive(paths[1], name="fraud", version="8")
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_it_names_a_version_and_carries_neither_weights_nor_code(tmp_path) -> None:
    path = tmp_path / "fraud.mar"
    write_archive(path, name="fraud", version="champion")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["MAR-INF/MANIFEST.json"]
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert manifest["model"]["modelVersion"] == "champion"
