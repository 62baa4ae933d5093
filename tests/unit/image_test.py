# tests/unit/image_test.py: the writer of images and of their bills of materials (tools/lib), on folders made here. Needs no
# build and no root.
import gzip
import hashlib
import json
import pathlib
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import image  # noqa: E402
import sbom  # noqa: E402

PACKAGES = {"libx1": {"version": "1:2.0-1+deb12u1", "source": "x", "source_version": "2.0-1",
                      "files": ["usr/lib/libx.so.1"]}}


class ImageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.content = self.folder / "content"
        for place in ("usr/bin/tool", "usr/lib/libx.so.1", "etc/passwd"):
            (self.content / place).parent.mkdir(parents=True, exist_ok=True)
            (self.content / place).write_text(place)

    def blob(self, layout, descriptor):
        data = (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
        self.assertEqual(descriptor["size"], len(data))
        self.assertEqual(descriptor["digest"], "sha256:" + hashlib.sha256(data).hexdigest())
        return data

    def test_equal_folders_give_equal_layers_whoever_made_them_and_when(self):
        first = image.layer_of(self.content)
        (self.content / "etc/passwd").touch()
        self.assertEqual(first, image.layer_of(self.content))
        (self.content / "etc/passwd").write_text("other")
        self.assertNotEqual(first, image.layer_of(self.content))

    def test_a_docker_archive_says_what_it_holds(self):
        layer = image.layer_of(self.content)
        image.write_archive(self.folder / "a.tar", "localhost/a:1", layer, image.config_of(layer, ["/usr/bin/tool"]))
        with tarfile.open(self.folder / "a.tar") as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            config = json.load(tar.extractfile(manifest["Config"]))
            held = tar.extractfile(manifest["Layers"][0]).read()
        self.assertEqual(["localhost/a:1"], manifest["RepoTags"])
        self.assertEqual(["/usr/bin/tool"], config["config"]["Entrypoint"])
        self.assertEqual(config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(held).hexdigest()])

    def test_a_layout_has_one_index_for_all_architectures_and_no_wrong_digest(self):
        layer = image.layer_of(self.content)
        image.write_layout(self.folder / "oci", "localhost/a:1", [
            (name, layer, image.config_of(layer, ["/x"], name)) for name in ("amd64", "arm64")])
        outer = json.loads((self.folder / "oci/index.json").read_text())
        index = json.loads(self.blob(self.folder / "oci", outer["manifests"][0]))
        self.assertEqual(["amd64", "arm64"], [one["platform"]["architecture"] for one in index["manifests"]])
        for one in index["manifests"]:
            manifest = json.loads(self.blob(self.folder / "oci", one))
            config = json.loads(self.blob(self.folder / "oci", manifest["config"]))
            packed = self.blob(self.folder / "oci", manifest["layers"][0])
            self.assertEqual(one["platform"]["architecture"], config["architecture"])
            self.assertEqual(layer, gzip.decompress(packed))

    def test_a_bill_names_every_file_and_package_once_and_only_what_is_there(self):
        bill = json.loads(sbom.make_sbom(self.content, PACKAGES, "amd64", "1.2", 0))
        self.assertEqual("SPDX-2.3", bill["spdxVersion"])
        self.assertEqual({"./usr/bin/tool", "./usr/lib/libx.so.1"}, {file["fileName"] for file in bill["files"]})
        known = {"SPDXRef-DOCUMENT"} | {one["SPDXID"] for one in bill["packages"] + bill["files"]}
        self.assertEqual(len(known), 1 + len(bill["packages"]) + len(bill["files"]))
        for relation in bill["relationships"]:
            self.assertIn(relation["spdxElementId"], known)
            self.assertIn(relation["relatedSpdxElement"], known)
        purl = bill["packages"][1]["externalRefs"][0]["referenceLocator"]
        self.assertEqual("pkg:deb/debian/libx1@1%3A2.0-1%2Bdeb12u1?arch=amd64&distro=debian-12", purl)


if __name__ == "__main__":
    unittest.main()
