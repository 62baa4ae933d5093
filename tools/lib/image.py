# tools/lib/image.py: container images out of folders, without a registry, a daemon or root: docker archives and OCI
# layouts. Equal folders give equal images. Usage: image.py archive FOLDER NAME FILE ENTRYPOINT...
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encoded(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def plain(info):
    """What a file is apart from who made it and when."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info


def layer_of(folder):
    """All of the folder as a tar, its files root's."""
    folder = pathlib.Path(folder)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)
    return data.getvalue()


def config_of(layer, entrypoint, architecture="amd64", labels=None):
    return encoded({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"], "WorkingDir": "/",
                   "Labels": labels or {}},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}})


def add(tar, name, data):
    info = plain(tarfile.TarInfo(name))
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_archive(file, name, layer, config):
    """A docker archive with one image called `name`, for `ctr images import` and `docker load`."""
    config_name, layer_name = digest(config)[7:] + ".json", digest(layer)[7:] + "/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
    with tarfile.open(file, "w") as tar:
        add(tar, config_name, config)
        add(tar, layer_name, layer)
        add(tar, "manifest.json", encoded(manifest))


def write_layout(folder, name, images, annotations=None):
    """An OCI layout with one multi-architecture image. `images` are (architecture, layer, config)."""
    blobs = pathlib.Path(folder) / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(media_type, data):
        (blobs / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    manifests = []
    for architecture, layer, config in images:
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": blob(CONFIG, config),
            "layers": [blob(LAYER, gzip.compress(layer, 9, mtime=0))],
            "annotations": annotations or {}}
        manifests.append({**blob(MANIFEST, encoded(manifest)),
                          "platform": {"architecture": architecture, "os": "linux"}})
    index = blob(INDEX, encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    index["annotations"] = {"io.containerd.image.name": name,
                            "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    folder = pathlib.Path(folder)
    (folder / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(
        encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]}))


if __name__ == "__main__":
    _, _, source, image, target, *command = sys.argv
    content = layer_of(source)
    write_archive(target, image, content, config_of(content, command))
