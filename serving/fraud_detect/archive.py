"""Model archives, as TorchServe loads them: the same name and version, the same bytes.

An archive holds no weights and no code. It names a version in the model store, from where workers
load it, checksums and all; so no copy of a model lies about, and what an archive can make a worker
do is to load a version that somebody published.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

HANDLER = "fraud_detect.handler"
_MANIFEST = "MAR-INF/MANIFEST.json"
_BEGIN_OF_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say


def write_archive(path: Path, *, name: str, version: str) -> None:
    """Writes the archive of a model's version.

    Args:
        path: of the file, ``.mar``.
        name: under which it is served.
        version: in the model store: a number, or an alias as ``champion``.
    """
    manifest = {
        "archiverVersion": "0.12.0",
        "createdOn": "01/01/1980 00:00:00",
        "model": {"handler": HANDLER, "modelName": name, "modelVersion": version},
        "runtime": "python",
    }
    entry = zipfile.ZipInfo(_MANIFEST, _BEGIN_OF_TIME)
    entry.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, json.dumps(manifest, indent=2))
