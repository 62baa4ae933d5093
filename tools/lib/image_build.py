# tools/lib/image_build.py: images of built binaries: a docker archive and a bill of materials for each architecture,
# and one OCI layout for all. Usage: image_build.py OUT NAME VERSION SECONDS ARCHITECTURE:BINARIES:ROOT...
import pathlib
import shutil
import sys
import tempfile

import image
import image_root
import sbom

ENTRYPOINT = ["/usr/bin/partywalld"]


def build(out, name, version, made_at, architecture, binaries, root):
    """Writes the archive and the bill; returns the image for the layout, and its size in bytes."""
    labels = {"org.opencontainers.image.title": "partywall", "org.opencontainers.image.version": version,
              "org.opencontainers.image.licenses": "Apache-2.0"}
    with tempfile.TemporaryDirectory() as folder:
        system = image_root.System(architecture, root)
        packages = image_root.make_root(folder, pathlib.Path(binaries), system)
        bill = sbom.make_sbom(folder, packages, architecture, version, made_at)
        (out / f"sbom-{architecture}.spdx.json").write_text(bill)
        target = pathlib.Path(folder, "usr/share/doc/partywall/sbom.spdx.json")
        target.parent.mkdir(parents=True)
        target.write_text(bill)
        layer = image.layer_of(folder)
    config = image.config_of(layer, ENTRYPOINT, architecture, labels)
    image.write_archive(out / f"partywall-{architecture}.tar", name, layer, config)
    return (architecture, layer, config), len(layer)


def main(out, name, version, made_at, *systems):
    out = pathlib.Path(out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    images = []
    for system in systems:
        architecture, binaries, root = system.split(":")
        built, size = build(out, name, version, int(made_at), architecture, binaries, root)
        images.append(built)
        print(f"image {name} {architecture}: {size / 1e6:.1f} MB")
    image.write_layout(out / "oci", name, images, {"org.opencontainers.image.version": version})


if __name__ == "__main__":
    main(*sys.argv[1:])
