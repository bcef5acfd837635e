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
    components = {name: _component(pins[name], optional=name in optional) for name in required | optional}
    components[secrets.name] = _own(secrets, ComponentType.LIBRARY)
    application = _own(engine, ComponentType.APPLICATION)

    bom = Bom(components=components.values())
    bom.metadata.component = application
    bom.metadata.supplier = OrganizationalEntity(name="the authors of Autokestra")
    bom.metadata.timestamp = datetime.fromtimestamp(epoch(root), UTC)
    for package, component in ((engine, application), (secrets, components[secrets.name])):
        direct = {*package.needs, *package.extras} & components.keys()
        bom.dependencies.add(_dependency(component, [components[name] for name in direct - {package.name}]))
    for name in required | optional:
        below_it = [components[pin.name] for pin in pins.values() if name in pin.via and pin.name in components]
        bom.dependencies.add(_dependency(components[name], below_it))
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
