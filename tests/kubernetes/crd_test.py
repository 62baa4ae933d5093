# tests/kubernetes/crd_test.py: the folder source and a real API server take the same documents, and name the same fields of
# those that they refuse. Needs no root.
import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml
from apiserver import GROUP, program, wait_until
from chart import CHART, ROOT, serve

PROGRAMS = pathlib.Path(os.environ.get("PARTYWALL_BIN", ROOT / "build/release/bin")).resolve()
CORPUS = pathlib.Path(__file__).parent / "corpus"
CRDS = CHART / "files/crds"
WORLD = (CORPUS / "world.yaml").read_text()

sys.path.insert(0, str(ROOT / "tools/lib"))
import crds  # noqa: E402


def documents(file):
    """(field named above it, text) of every document of a file of the corpus."""
    for text in file.read_text().split("---\n"):
        field = [line[2:] for line in text.splitlines() if line.startswith("# ") and "tests/" not in line]
        yield field[0] if field else None, text


def kubectl_reads(text):
    """The document as a client sends it. Fails when it is no YAML of the version 1.1, which those speak."""
    return yaml.safe_load(text)


class Folder:
    """What `partywall check` says."""

    def refused_fields(self, text):
        """The fields that are named, or an empty list when the document is accepted."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "world.yaml").write_text(WORLD)
            pathlib.Path(folder, "it.yaml").write_text(text)
            done = subprocess.run([PROGRAMS / "partywall", "check", "."], cwd=folder, capture_output=True,
                                  text=True, timeout=60)
        said = done.stdout + done.stderr
        if done.returncode not in (0, 1):
            raise AssertionError(said)
        fields = []
        for line in said.splitlines():
            found = re.match(r"(?:\./)?it\.yaml:\d+:\d+: (?:([\w.\[\]/-]+): )?(.*)", line)
            if not found:
                continue
            field, words = found.group(1) or "", found.group(2)
            if unknown := re.match(r'unknown field "(.*?)"', words):
                field = f"{field}.{unknown.group(1)}".lstrip(".")
            fields.append(field)
        if bool(fields) != bool(done.returncode):
            raise AssertionError(f"exit code {done.returncode}, but said: {said}")
        return fields


class Cluster:
    """What the API server says to the same document, without keeping it."""

    def __init__(self, server):
        self.server = server

    def answer(self, document):
        kind = document.get("kind") if isinstance(document, dict) else None
        path = f"{GROUP}/{'tiers' if kind == 'Tier' else 'tenants'}"
        return self.server.create(path, document, dry_run=True)

    def refused_fields(self, document):
        status, body = self.answer(document)
        if status == 201:
            return []
        if status not in (400, 422):
            raise AssertionError(f"{status}: {body}")
        fields = re.findall(r'unknown field "(.*?)"', body["message"])
        fields += [cause.get("field", "") for cause in body.get("details", {}).get("causes", [])]
        return [re.sub(r"\[([a-zA-Z][^\]]*)\]", r".\1", field) for field in fields] or [""]


def agree(folder, cluster):
    """Whether both name a field: the same one; or the one a list or a map of labels and the other what is wrong in it, as a rule
    of the API server cannot say which item; or the one a text and the other a field of it, when it is a map."""
    whole = [re.sub(r"\[\d+\]$|(\.matchLabels)\..*", r"\1", one) for one in folder]
    return any(one == other or inner == other or other.startswith(f"{one}.") or one.startswith(f"{other}[")
               for one, inner in zip(folder, whole) for other in cluster)


# --- documents made of the full one, each wrong in one field

LONG = "x" * 70_000


def places(value, path=()):
    """The path of every field and item."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield path + (key,)
        yield from places(item, path + (key,))


def changed(document, path, change):
    """A copy with the value at the path replaced; change returns the new one, or REMOVE."""
    found = copy.deepcopy(document)
    parent = found
    for key in path[:-1]:
        parent = parent[key]
    value = change(parent[path[-1]])
    if value is REMOVE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return found


REMOVE = object()
CHANGES = {
    "removed": lambda value: REMOVE,
    "a map": lambda value: {"a": "b"} if not isinstance(value, dict) else ["a"],
    "a list": lambda value: ["a"] if not isinstance(value, list) else {"a": "b"},
    "a text": lambda value: "what?" if isinstance(value, (dict, list)) else ["what?"],
    "empty": lambda value: type(value)() if isinstance(value, (dict, list)) else "",
    "null": lambda value: None,
    "too long": lambda value: LONG,
    "another unit": lambda value: f"{value}Parsec" if not isinstance(value, (dict, list)) else 5,
    "negative": lambda value: -1,
    "zero": lambda value: 0,
    "true": lambda value: True,
    "a fraction": lambda value: 0.5,
    "an unknown field": lambda value: {**value, "extra": 1} if isinstance(value, dict) else {"extra": 1},
    "capitals": lambda value: value.upper() if isinstance(value, str) else value,
    "blank before": lambda value: f" {value}" if not isinstance(value, (dict, list)) else value,
}


def dotted(path):
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


class CrdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        serve(cls)
        cls.folder = Folder()
        cls.cluster = Cluster(cls.server)

    def test_definitions_are_what_the_script_writes(self):
        for name, text in crds.files().items():
            self.assertEqual(text, (CRDS / name).read_text(),
                             f"{name} is old: python3 tools/lib/crds.py helm/partywall/files/crds")

    def test_definitions_are_established_without_a_warning(self):
        for plural in ("tiers", "tenants", "tenantnodes"):
            body = self.server.must(self.server.get(
                f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.partywall.dev"))
            states = {one["type"]: one["status"] for one in body["status"]["conditions"]}
            self.assertEqual("True", states["Established"], states)
            self.assertEqual("True", states["NamesAccepted"], states)
            self.assertNotEqual("True", states.get("NonStructuralSchema"), states)

    def test_good_documents(self):
        count = 0
        for file in [CORPUS / "full.yaml", *sorted((CORPUS / "good").glob("*.yaml"))]:
            for _, text in documents(file):
                count += 1
                with self.subTest(file.name, document=text):
                    self.assertEqual([], self.folder.refused_fields(text))
                    status, body = self.cluster.answer(kubectl_reads(text))
                    self.assertEqual(201, status, body.get("message"))
        self.assertGreater(count, 15)

    def test_bad_documents(self):
        count = 0
        for file in sorted((CORPUS / "bad").glob("*.yaml")):
            for field, text in documents(file):
                count += 1
                with self.subTest(file.name, document=text):
                    folder = self.folder.refused_fields(text)
                    cluster = self.cluster.refused_fields(kubectl_reads(text))
                    self.assertIn(field, folder)
                    self.assertTrue(agree([field], cluster), f"{field} is not among {cluster}")
                    if file.stem != "rules":  # whose ports, for 3 MB each, no rule may look at before it reckons with them
                        self.assertNotIn("evaluating rule", self.cluster.answer(kubectl_reads(text))[1]["message"])
        self.assertGreater(count, 150)

    def test_every_field_made_wrong(self):
        differences = yaml.safe_load((CORPUS / "mutations.yaml").read_text())
        used = set()
        count = 0
        for document in map(yaml.safe_load, (CORPUS / "full.yaml").read_text().split("---\n")):
            for path in list(places(document)):
                if path[0] in ("apiVersion", "kind") or path[1:] and path[1] in ("labels", "annotations"):
                    continue  # of no meaning to the folder; Kubernetes has rules of its own for them
                for name, change in CHANGES.items():
                    wrong = changed(document, path, change)
                    count += 1
                    folder = self.folder.refused_fields(
                        yaml.safe_dump(wrong, sort_keys=False, width=10**6))
                    cluster = self.cluster.refused_fields(wrong)
                    where = f"{document['kind']} {dotted(path)}"
                    if agree(folder, cluster) or not (folder or cluster):
                        continue
                    row = next((number for number, row in enumerate(differences)
                                if re.fullmatch(row["field"], where) and name in row["values"]
                                and row["folder"] == ("refuses" if folder else "accepts")
                                and row["cluster"] == ("refuses" if cluster else "accepts")), None)
                    used.add(row)
                    with self.subTest(f"{where}: {name}"):
                        self.assertIsNotNone(row, f"folder: {folder[:5]}, cluster: {cluster[:5]}")
        self.assertGreater(count, 1000)
        self.assertEqual(set(range(len(differences))), used - {None}, "rows that nothing needs")

    def test_what_only_one_of_them_can_say(self):
        for row in yaml.safe_load((CORPUS / "differences.yaml").read_text()):
            text = row["document"].replace("RULES", ", ".join(["{to: []}"] * 65))
            with self.subTest(row["why"]):
                folder = self.folder.refused_fields(text)
                cluster = self.cluster.refused_fields(kubectl_reads(text))
                self.assertEqual(row["folder"], folder[0] if folder else "accepts")
                self.assertEqual(row["cluster"], cluster[0] if cluster else "accepts")

    def test_reasons_are_the_parsers_words(self):
        for value, limit in (("10MBit", "egress"), ("9Tbit", "ingress"), ("1", "egress")):
            document = {"apiVersion": "partywall.dev/v1alpha1", "kind": "Tier", "metadata": {"name": "gold"},
                        "spec": {"limits": {limit: {"ceiling": value}}}}
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                json.dump(document, file)
                file.flush()
                said = subprocess.run([PROGRAMS / "partywall", "check", file.name], capture_output=True,
                                      text=True, timeout=60)
            words = re.search(r"ceiling: (.*)", said.stdout + said.stderr).group(1)
            self.assertIn(words, self.cluster.answer(document)[1]["message"])

    def test_defaults(self):
        tenant = {"apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
                  "spec": {"tier": "standard", "network": {"egress": [{"to": [], "ports": [{"port": 80}]}]}}}
        spec = self.server.must(self.cluster.answer(tenant))["spec"]
        self.assertEqual("enforce", spec["mode"])
        self.assertEqual({"port": 80, "protocol": "TCP"}, spec["network"]["egress"][0]["ports"][0])
        self.assertNotIn("ingress", spec["network"], "an absent list is no empty one")
        tier = {"apiVersion": "partywall.dev/v1alpha1", "kind": "Tier", "metadata": {"name": "gold"},
                "spec": {"network": {"world": {}}}}
        self.assertEqual({"egress": "allow", "ingress": "deny"},
                         self.server.must(self.cluster.answer(tier))["spec"]["network"]["world"])

    def test_without_strict_validation_an_unknown_field_is_dropped(self):
        tenant = {"apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
                  "spec": {"tier": "standard", "mod": "audit"}}
        status, body = self.server.call("POST", f"{GROUP}/tenants?dryRun=All", tenant)
        self.assertEqual(201, status)
        self.assertNotIn("mod", body["spec"])
        self.assertEqual(400, self.cluster.answer(tenant)[0])


class ObjectsTest(unittest.TestCase):
    """What kubectl shows of objects that are there, and what status and TenantNode take."""

    @classmethod
    def setUpClass(cls):
        serve(cls)
        cls.server.add_policy(yaml.safe_load_all((CORPUS / "full.yaml").read_text()))
        cls.server.add_node("node-1")

    def kubectl(self, *words):
        done = subprocess.run([program("kubectl"), "--kubeconfig", self.server.kubeconfig,
                               f"--cache-dir={self.server.folder}/cache", *words], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def node_object(self, **more):
        return {"apiVersion": "partywall.dev/v1alpha1", "kind": "TenantNode",
                "metadata": {"name": "acme.node-1", "labels": {"partywall.dev/tenant": "acme",
                                                               "partywall.dev/node": "node-1"}},
                "tenant": "acme", "node": "node-1", **more}

    def condition(self, kind, status="True"):
        return {"type": kind, "status": status, "reason": "Enforced", "message": "m",
                "lastTransitionTime": "2026-01-02T03:04:05Z"}

    def test_status_is_apart_and_shown(self):
        status = {"observedGeneration": 1, "summary": "2/3", "nodesTotal": 3, "nodesRealised": 2, "pods": 7,
                  "lagging": [{"node": "node-3", "reason": "Stale", "message": "not heard of"}],
                  "conditions": [{**self.condition(one), "observedGeneration": 1}
                                 for one in ("Accepted", "Realised", "Degraded", "Conflict")]}
        body = self.server.must(self.server.call("PATCH", f"{GROUP}/tenants/acme/status", {"status": status},
                                                 kind="application/merge-patch+json"))
        self.assertEqual(status, body["status"])
        self.assertEqual(1, body["metadata"]["generation"], "a status is no change of what is asked for")
        lines = self.kubectl("get", "pten").splitlines()
        self.assertEqual(["NAME", "TIER", "MODE", "NODES", "PODS", "READY", "AGE"], lines[0].split())
        self.assertEqual(["acme", "standard", "audit", "2/3", "7", "True"], lines[1].split()[:6])
        self.server.must(self.server.call("PATCH", f"{GROUP}/tiers/gold/status", {"status": {"tenants": 4}},
                                          kind="application/merge-patch+json"))
        lines = self.kubectl("get", "ptier").splitlines()
        self.assertEqual(["NAME", "EGRESS", "INGRESS", "TENANTS", "AGE"], lines[0].split())
        self.assertEqual(["gold", "500Mbit", "1.5Gbit", "4"], lines[1].split()[:4])

    def test_a_status_of_another_shape_is_refused(self):
        for status in ({"pods": -1}, {"nodes": 5}, {"conditions": [{"type": "Fine", "status": "True"}]},
                       {"lagging": [{"node": f"n{number}"} for number in range(21)]}):
            with self.subTest(status):
                answer = self.server.call("PATCH", f"{GROUP}/tenants/acme/status?fieldValidation=Strict",
                                          {"status": status}, kind="application/merge-patch+json")
                self.assertIn(answer[0], (400, 422), answer)

    def test_tenant_node(self):
        path = f"{GROUP}/tenantnodes"
        good = self.node_object(addresses=["10.1.0.1", "fd00::1"], hostPorts=[{"protocol": "TCP", "port": 80}],
                                pods=2, observedGeneration=1, conditions=[self.condition("Realised")])
        self.server.must(self.server.create(path, good))
        lines = self.kubectl("get", "ptn").splitlines()
        self.assertEqual(["NAME", "TENANT", "NODE", "PODS", "OBSERVED", "READY", "AGE"], lines[0].split())
        self.assertEqual(["acme.node-1", "acme", "node-1", "2", "1", "True"], lines[1].split()[:6])
        self.assertIn("acme.node-1", self.kubectl("get", "partywall"))
        for wrong in ({"node": "node-2"}, {"tenant": "other"}, {"addresses": ["10.1.0.1/32"]},
                      {"addresses": ["FD00::1"]}, {"addresses": [f"10.1.{n >> 8}.{n & 255}" for n in range(1025)]},
                      {"podCIDRs": ["10.0.0.0/8"]}, {"nodeAddresses": ["10.0.0.1"]}, {"pods": "2"}, {"extra": 1},
                      {"hostPorts": [{"protocol": "TCP", "port": 0}]}):
            with self.subTest(wrong):
                document = {**good, **wrong}
                self.assertIn(self.server.create(path, document, dry_run=True)[0], (400, 422))
        lane = {**self.node_object(nodeAddresses=["192.0.2.1"], podCIDRs=["10.244.1.0/24", "fd00:244::/64"]),
                "metadata": {"name": "infrastructure.node-1"}, "tenant": "infrastructure"}
        self.server.must(self.server.create(path, lane, dry_run=True))

    def test_explain_tells_what_to_write(self):
        for field, words in (("tenants.spec.members.namespaces", "matchLabels"),
                             ("tenants.spec.limits.egress.ceiling", "1.5Gbit"),
                             ("tiers.spec.network.world", "deny"), ("tenantnodes", "that node's agent"),
                             ("tenants.status", "Conflict")):
            with self.subTest(field):
                wait_until(lambda: words in self.kubectl("explain", field), 20, f"{field} is explained")

    def test_every_field_has_a_description(self):
        def bare(schema, path):
            for name, field in schema.get("properties", {}).items():
                if "description" not in field and (path, name) != ("", "metadata"):
                    yield f"{path}.{name}"
                if name != "metadata":
                    yield from bare(field.get("items", field), f"{path}.{name}")

        for name, text in crds.files().items():
            schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            self.assertEqual([], list(bare(schema, "")), name)

    def test_server_side_apply_keeps_what_was_written(self):
        document = list(yaml.safe_load_all((CORPUS / "full.yaml").read_text()))[1]
        document["metadata"] = {"name": "again"}
        path = f"{GROUP}/tenants/again"
        first = self.server.must(self.server.apply(path, document))
        second = self.server.must(self.server.apply(path, document))
        self.assertEqual(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"])
        self.assertEqual(document["spec"], second["spec"] | {"network": document["spec"]["network"]})


if __name__ == "__main__":
    unittest.main(verbosity=2)
