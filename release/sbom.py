"""The bill of materials: what an installation of our packages consists of, as CycloneDX 1.6 in JSON.

It is made from manifests and pins alone, so the same tree gives the same bytes on every machine. What only extras need
is optional. A pin allows several files, one for each kind of machine; their SHA-256 are properties, since `hashes` of
a component would mean one file. Licenses of others are not repeated: the packages carry them.
"""

import argparse
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from release.build import PACKAGES, ROOT, epoch
from release.pins import Package, Pin, below, read_package, read_pins

PINS: Final = "requirements/dev.txt"  # those of the extras too
NAMESPACE: Final = uuid.UUID("6f0f3f0e-5f0b-4c3a-9d1a-2f5b1c6f7a10")  # ours: makes the serial number from the content


def bill(root: Path) -> Bom:
    """Return the bill of the project at `root`."""
    pins = read_pins(root / PINS)
    secrets, engine = (read_package(root / package / "pyproject.toml") for package in PACKAGES)
    required = below([*engine.needs, *secrets.needs], pins)
    optional = below([*engine.extras, *secrets.extras], pins) - required
    used = [pin for pin in pins if pin.name in required | optional]
    library, application = _own(secrets, ComponentType.LIBRARY), _own(engine, ComponentType.APPLICATION)
    components = [(pin, _component(pin, optional=pin.name in optional)) for pin in used]

    bom = Bom(components=[library, *(component for _, component in components)])
    bom.metadata.component = application
    bom.metadata.supplier = OrganizationalEntity(name="the authors of Autokestra")
    bom.metadata.timestamp = datetime.fromtimestamp(epoch(root), UTC)
    for package, component, ours in ((engine, application, [library]), (secrets, library, [])):
        direct = [other for pin, other in components if pin.name in {*package.needs, *package.extras}]
        bom.dependencies.add(_dependency(component, [*ours, *direct]))
    for pin, component in components:
        bom.dependencies.add(_dependency(component, [other for need, other in components if pin.name in need.via]))
    return bom


def text(root: Path) -> str:
    """Return the bill as it is written: sorted, indented, with a serial number that is made from the content."""
    bom = bill(root)
    bom.serial_number = uuid.UUID(int=0)  # of known length while the content is summed up
    written = JsonV1Dot6(bom).output_as_string(indent=2)
    bom.serial_number = uuid.uuid5(NAMESPACE, written)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the bill into the target folder."""
    parser = argparse.ArgumentParser(prog="python -m release.sbom", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the project")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where the file goes")
    given = parser.parse_args()
    package = read_package(given.root / PACKAGES[-1] / "pyproject.toml")
    given.to.mkdir(parents=True, exist_ok=True)
    path = given.to / f"{package.name}-{package.version}.cdx.json"
    path.write_text(text(given.root.resolve()), encoding="utf-8")
    print(path.name)


def _component(pin: Pin, *, optional: bool) -> Component:
    properties = [Property(name="autokestra:sha256", value=value) for value in pin.hashes]
    if pin.marker:
        properties.append(Property(name="autokestra:marker", value=pin.marker))
    address = PackageURL("pypi", None, pin.name, pin.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=address,
        bom_ref=BomRef(str(address)),
        scope=ComponentScope.OPTIONAL if optional else ComponentScope.REQUIRED,
        properties=properties,
    )


def _own(package: Package, kind: ComponentType) -> Component:
    address = PackageURL("pypi", None, package.name, package.version)
    return Component(
        type=kind,
        name=package.name,
        version=package.version,
        description=package.description,
        licenses=[LicenseExpression(package.license)],
        purl=address,
        bom_ref=BomRef(str(address)),
    )


def _dependency(component: Component, needs: list[Component]) -> Dependency:
    return Dependency(component.bom_ref, [Dependency(need.bom_ref) for need in needs])


if __name__ == "__main__":
    main()
