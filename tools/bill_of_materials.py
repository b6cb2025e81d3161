"""What a release's artifact is made of, as a CycloneDX document (an SBOM).

The packages are those that were found in the artifact, with the licences that they name; the
pins say which files they may have come from, and why each is there. The same artifact and pins
give the same bytes: nothing in it tells the time or the machine.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from email import message_from_string
from typing import TYPE_CHECKING, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROGRAM: Final = "token-refresher"

_PIN: Final = re.compile(r"(?m)^([a-z0-9-]+)==([^ ;]+).*(?:\n .*)*")
_DIGEST: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA: Final = re.compile(r"(?m)^    #(?: via| {2,})\s*([a-z0-9-]+)")


class BillError(Exception):
    """No bill can be written; the message says the fix."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned package, as the pins tell it.

    Attributes:
        digests: SHA-256 of each file that may be installed for it, in hexadecimal.
        needed_by: Names of those that ask for it; the program is one of them.
    """

    version: str
    digests: tuple[str, ...]
    needed_by: tuple[str, ...]


def read_pins(text: str) -> dict[str, Pin]:
    """Read what ``make pins`` has written, by name."""
    return {
        found[1]: Pin(
            version=found[2],
            digests=tuple(_DIGEST.findall(found[0])),
            needed_by=tuple(_VIA.findall(found[0])),
        )
        for found in _PIN.finditer(text)
    }


def _installed(artifact: Path) -> Iterable[tuple[str, str, str]]:
    """Tell name, version and licence of each package in an artifact."""
    for path in sorted(artifact.glob("*.dist-info/METADATA")):
        told = message_from_string(path.read_text("utf-8"))
        name = re.sub(r"[-_.]+", "-", told["Name"]).lower()
        yield name, told["Version"], told["License-Expression"] or told["License"] or ""


def _component(name: str, version: str, licence: str, pin: Pin) -> Component:
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        name=name,
        version=version,
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(purl)),
                comment="one of the files that the pins allow",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for digest in pin.digests
        ],
    )


def bill_of_materials(
    version: str, *, artifact: Path, pins: dict[str, Pin], archives: dict[str, str]
) -> str:
    """Write the document.

    Args:
        version: The program's.
        artifact: A directory with what is deployed; no architecture has a package of its own.
        pins: As `read_pins` gives them.
        archives: The zips that are deployed: their names, and SHA-256 in hexadecimal.

    Raises:
        BillError: The artifact holds other packages than the pins name, or the document does
            not validate.
    """
    installed = list(_installed(artifact))
    pinned = {name: pin.version for name, pin in pins.items()}
    if {name: version for name, version, _ in installed} != pinned:
        raise BillError(
            "The artifact has other packages than requirements/runtime.txt. Run: make pins"
        )
    purl = PackageURL("generic", name=PROGRAM, version=version)
    program = Component(
        type=ComponentType.APPLICATION,
        bom_ref=str(purl),
        name=PROGRAM,
        version=version,
        purl=purl,
        licenses=[LicenseFactory().make_from_string("MIT")],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(name),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for name, digest in archives.items()
        ],
    )
    components = {
        name: _component(name, version, licence, pins[name]) for name, version, licence in installed
    }
    bom = Bom(components=components.values(), serial_number=_serial_number(archives))
    bom.metadata.component = program
    bom.metadata.timestamp = None
    everything = {PROGRAM: program, **components}
    for name, component in everything.items():
        needs = [each for other, each in components.items() if name in pins[other].needed_by]
        bom.register_dependency(component, needs)
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise BillError(f"The bill of materials does not validate: {wrong}")
    return f"{text}\n"


def _serial_number(archives: dict[str, str]) -> uuid.UUID:
    """Name the document by what it tells of, since a random name would be another each time."""
    return uuid.uuid5(uuid.NAMESPACE_OID, "".join(map("{0[0]}={0[1]}\n".format, archives.items())))
