"""What MySQL, MariaDB and PyMySQL say, in this library's words.

By code: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html from 1000 on,
client-error-reference.html from 2000 to 2999; https://mariadb.com/kb/en/mariadb-error-codes/
for those of MariaDB alone, which begin at 1900 and at 4000.
"""

from __future__ import annotations

import re

from data_connector.errors import (
    AccessDeniedError,
    ConnectorError,
    DiskFullError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    WriteError,
)
from data_connector.locations import DatabaseLocation

_DENIED = {1044, 1045, 1130, 1698, 1820, 1862, 3118, 4151}
_FULL = {1021, 1114}
_LOCKED = {1205, 1213, 3572}
_TIMED_OUT = {1317, 1969, 3024}
# Too many connections, shut down, killed, blocked; and 0: the connection is closed already.
_GONE = {0, 1040, 1053, 1079, 1080, 1129, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 3169}
# A constraint, or a value that the column does not take in strict mode.
_REFUSED = {
    *(1022, 1048, 1062, 1169, 1216, 1217, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1411, 1441),
    *(1451, 1452, 1526, 1557, 1586, 1644, 3140, 3730, 3819, 4025),
}
_NO_DATABASE = 1049
_TWICE = 1060
_NO_COLUMN = 1054
_DUPLICATE = re.compile(r"Duplicate column name '(.*)'")


def translated(error: Exception, location: DatabaseLocation) -> ConnectorError:
    """The driver's error in this library's words."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    message = " ".join(str(error.args[-1] if error.args else error).split())
    if code == _NO_DATABASE:
        return SourceNotFoundError(f"no such database: {location}: {message}")
    if code == _TWICE:
        found = _DUPLICATE.search(message)
        return SchemaMismatchError(
            "there it is twice, as MySQL compares names: rename one",
            column=found[1] if found else message,
        )
    if code in _FULL or "No space left on device" in message:
        return DiskFullError(f"the disk of {location} is full: {message}; nothing was written")
    if code in _DENIED:
        return AccessDeniedError(f"cannot use {location}: {message}; check user and password")
    if code in _LOCKED:
        return SourceUnreachableError(
            f"{location} is in use by another transaction: {message}; let it end, or wait longer "
            "with ?init_command=SET%20lock_wait_timeout%3D600 in the URL"
        )
    if code in _TIMED_OUT:
        return QueryError(
            f"{location} gave up: {message}; ask for less, or raise a timeout with "
            "?init_command=SET%20max_statement_time%3D600 in the URL"
        )
    if code in _GONE or (code is not None and 2000 <= code < 3000):
        return SourceUnreachableError(
            f"cannot use {location}: {message or 'the connection is closed'}; check host, port, "
            "and that the server runs"
        )
    if code in _REFUSED:
        return WriteError(f"{location} refused the rows, none was written: {message}")
    # With ANSI_QUOTES, which people forget.
    hint = "; texts stand in 'single quotes'" if code == _NO_COLUMN else ""
    return QueryError(f"{location} refused: {message}{hint}")
