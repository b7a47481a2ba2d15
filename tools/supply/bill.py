"""The bill of materials of a lock, in CycloneDX: same lock and licences, same bytes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from tools.requirements.lock import CHOSEN, Pin

SCHEMA = SchemaVersion.V1_6
PRODUCT = "fraud-detect"


def bill(pins: Mapping[str, Pin], licences: Mapping[str, str], *, epoch: int | None) -> str:
    """The bill as JSON: a component a package, and which package is there for which.

    Args:
        pins: the packages of the lock.
        licences: an SPDX expression a package; one without has none in the bill.
        epoch: seconds since 1970 that the bill says it was made at; without it, it says none, for
            the clock would make other bytes each time.

    Raises:
        ValueError: a package is there for one that the lock lacks.
    """
    components = {name: _component(pin, licences.get(name)) for name, pin in pins.items()}
    product = Component(name=PRODUCT, type=ComponentType.APPLICATION, bom_ref=PRODUCT)
    bom = Bom(
        components=components.values(),
        metadata=BomMetaData(component=product),
        serial_number=_serial_number(pins, licences),
    )
    # It would be the clock's.
    bom.metadata.timestamp = None if epoch is None else datetime.fromtimestamp(epoch, UTC)  # type: ignore[assignment]
    needs: dict[Component, list[Component]] = {each: [] for each in [product, *components.values()]}
    for name, pin in pins.items():
        for wanter in pin.via:
            if wanter != CHOSEN and wanter not in components:
                raise ValueError(f"{name} is locked for {wanter}, which is not locked")
            needs[product if wanter == CHOSEN else components[wanter]].append(components[name])
    for each, wanted in needs.items():
        bom.register_dependency(each, wanted)
    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    return text + "\n"


def _component(pin: Pin, licence: str | None) -> Component:
    purl = PackageURL("pypi", None, pin.name, pin.version)
    # A version is several files, one a platform; any of those whose hash the lock has is accepted.
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(purl.to_string()),
        comment="the files of this version that the lock accepts",
        hashes=[_sha256(digest) for digest in pin.hashes],
    )
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[files],
    )


def _sha256(digest: str) -> HashType:
    algorithm, _, content = digest.partition(":")
    if algorithm != "sha256":
        raise ValueError(f"the lock's hashes are sha256, got {digest}")
    return HashType(alg=HashAlgorithm.SHA_256, content=content)


def _serial_number(pins: Mapping[str, Pin], licences: Mapping[str, str]) -> uuid.UUID:
    content = repr((sorted(pins.items()), sorted(licences.items())))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return uuid.uuid5(uuid.NAMESPACE_OID, digest)
