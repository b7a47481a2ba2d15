"""The certificates that Java trusts."""

from __future__ import annotations

import hashlib
import re
import ssl
import struct
from pathlib import Path

SYSTEM = Path("/etc/ssl/certs/java/cacerts")  # follows the system's updates
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")  # where no Java is installed
PASSWORD = "changeit"  # noqa: S105 (Java's own default; what it guards is public)


def provide(link: Path) -> None:
    """Leaves `link`, which Debian points to the system's store, where that exists."""
    if not SYSTEM.exists() and BUNDLE.exists():
        link.unlink()
        link.write_bytes(keystore(trusted()))


def trusted() -> list[bytes]:
    """The certificates, in DER, that the system trusts."""
    pem = r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
    found = re.findall(pem, BUNDLE.read_text(), re.DOTALL)
    return [ssl.PEM_cert_to_DER_cert(text) for text in found]


def keystore(certificates: list[bytes]) -> bytes:
    """A Java keystore (the JKS format, version 2) of trusted certificates in DER."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for number, certificate in enumerate(certificates):
        body += struct.pack(">I", 2) + text(f"ca{number}") + struct.pack(">Q", 0)
        body += text("X.509") + struct.pack(">I", len(certificate)) + certificate
    seal = PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body
    return body + hashlib.sha1(seal).digest()  # noqa: S324 (the format's own)
