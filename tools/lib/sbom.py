# tools/lib/sbom.py: the bill of materials of an image, as SPDX 2.3: Partywall, the Debian packages that its libraries
# come from, and every file with its checksum. Equal images give equal bills.
import hashlib
import json
import pathlib
import re
import time


def identifier(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def debian_package(name, package, architecture):
    return {
        "SPDXID": identifier("Package", name), "name": name, "versionInfo": package["version"],
        "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "sourceInfo": f"built from source package {package['source']} {package['source_version']}",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{name}@{package['version'].replace('+', '%2B').replace(':', '%3A')}"
                                f"?arch={architecture}&distro=debian-12"}]}


def make_sbom(folder, packages, architecture, version, made_at):
    """The document, as text. `made_at` is seconds since 1970."""
    folder = pathlib.Path(folder)
    owner = {file: name for name, package in packages.items() for file in package["files"]}
    partywall = {
        "SPDXID": "SPDXRef-Package-partywall", "name": "partywall", "versionInfo": version,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER"}
    relationships = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Package-partywall")]
    relationships += [("SPDXRef-Package-partywall", "DEPENDS_ON", identifier("Package", name))
                      for name in sorted(packages)]
    files = []
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        if not path.is_file() or not place.startswith(("usr/bin/", "usr/lib/", "lib")):
            continue
        data = path.read_bytes()
        files.append({
            "SPDXID": identifier("File", place), "fileName": "./" + place, "fileTypes": ["BINARY"],
            "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
                          {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
            "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION"})
        relationships.append((identifier("Package", owner.get(place, "partywall")), "CONTAINS",
                              identifier("File", place)))
    content = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"partywall-{version}-{architecture}",
        "documentNamespace": f"https://partywall.dev/spdx/partywall-{version}-{architecture}-{content[:16]}",
        "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made_at)),
                         "creators": ["Tool: partywall-tools-image"]},
        "packages": [partywall] + [debian_package(name, packages[name], architecture)
                                   for name in sorted(packages)],
        "files": files,
        "relationships": [{"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
                          for one, how, other in relationships]}, indent=1) + "\n"
