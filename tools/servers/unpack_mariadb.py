"""MariaDB's server out of Debian's packages, for `@mariadb`: `unpack_mariadb.py FOLDER`.

It uses what `bazelw` uses to take Bazel from there: apt, with a state of its own. Where that cannot
be, the folder holds a file `missing` that says why, and whoever needs the server tells it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tools.bootstrap.console import Meter
from tools.bootstrap.debian import assemble, packages, relocate
from tools.bootstrap.launch import BazelwError

# The server, and all libraries it loads: the machine's own may be older, or other ones.
TAKE = ("mariadb-server-core", "gcc-*-base", "lib*", "zlib1g")
KEEP = (
    "usr/sbin/mariadbd",
    "usr/share/mariadb/charsets",
    "usr/share/mariadb/english",  # its messages
    "usr/share/mariadb/mariadb_system_tables*.sql",
    f"{relocate.LIB}/*.so*",
)
HELP = "then run: ./bazelw fetch --force --repo=@mariadb"


def main(folder: Path) -> None:
    """Fill the folder with the server, or with the reason why it is missing."""
    folder.mkdir()
    work = folder.with_name("work")
    why = assemble.obstacle()
    try:
        if not why:
            unpack(work, folder)
    except (BazelwError, OSError) as error:
        why = str(error)
    shutil.rmtree(work, ignore_errors=True)
    if why:
        reason = f"MariaDB is missing, and its tests are skipped: {why}; {HELP}\n"
        (folder / "missing").write_text(reason)
        sys.stderr.write(reason)


def unpack(work: Path, folder: Path) -> None:
    """Put into the folder what the server needs; `work` is where the packages lie meanwhile."""
    work.mkdir()
    env = packages.private_apt(work, assemble.SUITE)
    try:
        chosen = packages.choose(env, ["mariadb-server-core"], TAKE)
    except BazelwError as error:  # apt may have passed over an index that it could not get
        what = f"Debian's {assemble.SUITE} is out of reach, or has no MariaDB"
        raise BazelwError(f"{what}: {error}") from error
    debs, root = work / "debs", work / "root"
    debs.mkdir()
    root.mkdir()
    with Meter("downloading MariaDB") as meter:
        packages.download(env, chosen, debs, meter)
    with Meter("unpacking it") as meter:
        packages.unpack(debs, root, meter)
    for pattern in KEEP:
        found = sorted(root.glob(pattern))
        if not found:
            raise BazelwError(f"Debian's {assemble.SUITE} has no {pattern} for MariaDB any more")
        for path in found:
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    packages.call(*relocate.loader(folder), str(folder / "usr/sbin/mariadbd"), "--version")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
