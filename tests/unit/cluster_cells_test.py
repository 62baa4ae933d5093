# tests/unit/cluster_cells_test.py: the matrix of the cluster's tests is complete and says what DESIGN says, without a cluster.
import collections
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cluster"))

import cells  # noqa: E402
import world  # noqa: E402


class Everywhere:
    """Addresses of a cluster that nobody has booted."""

    def __init__(self):
        names = [f"{name}-{number}" for name in world.NAMESPACES for number in world.PLACES] + ["acme-host"]
        self.pods = {name: {4: f"10.244.0.{i}", 6: f"fd00:244::{i}"} for i, name in enumerate(names, 2)}
        places = [f"{name}/{service}" for name in world.NAMESPACES for service in ("near", "far")]
        places += ["acme/mirror", "acme/borrowed", "umbrella/borrowed"]
        self.services = {place: {4: f"10.96.0.{i}", 6: f"fd00:96::{i}"} for i, place in enumerate(places, 2)}


def outcomes(listed, relation=None):
    """Relation -> what is expected of its cells."""
    found = collections.defaultdict(set)
    for cell in listed:
        if relation in (None, cell.relation):
            found[cell.relation].add(cell.expected)
    return dict(found)


class CellsTest(unittest.TestCase):
    def setUp(self):
        self.cells = cells.all_cells(Everywhere())

    def test_each_place_in_the_table_is_tried_once(self):
        places = collections.Counter((cell.relation, cell.way, cell.family) for cell in self.cells)
        self.assertEqual([], [place for place, times in places.items() if times > 1])

    def test_both_families_have_the_same_rows(self):
        rows = {family: {(cell.relation, cell.way, cell.expected) for cell in self.cells if cell.family == family}
                for family in (4, 6)}
        self.assertEqual(rows[4], rows[6])

    def test_every_relation_is_tried_on_every_way(self):
        for relation, (_, port, _) in cells.RELATIONS.items():
            ways = " ".join(cell.way for cell in self.cells if cell.relation == relation)
            wanted = ["other node", "ClusterIP", "host-network pod"]
            wanted += ["NodePort here", "NodePort there", "raw packet", "frame packet"] if port == world.PORT else []
            for way in wanted:
                self.assertIn(way, ways, relation)

    def test_nobody_is_believed_an_address_that_is_not_its_own(self):
        spoofed = [cell for cell in self.cells if "spoofed" in cell.way]
        self.assertTrue(spoofed)
        # Within a tenant it is: see docs/kubernetes.md, known limits.
        self.assertEqual({"same tenant": {cells.OPEN}}, outcomes(spoofed, "same tenant"))
        self.assertEqual({cells.CLOSED}, set().union(*outcomes(
            [cell for cell in spoofed if cell.relation != "same tenant"]).values()))

    def test_what_arrives_under_a_nodes_address_is_the_world_to_a_tenant(self):
        for way in ("NodePort there", "NodePort here, pod on other node",
                    "pod, other node, from a host-network pod"):
            for relation in ("same tenant", "allowed by rule"):
                self.assertEqual({relation: {cells.CLOSED}},
                                 outcomes([cell for cell in self.cells if cell.way == way], relation), way)
        self.assertEqual({"loose to loose": {cells.OPEN}},
                         outcomes([cell for cell in self.cells if cell.way == "NodePort there"], "loose to loose"))

    def test_another_tenant_is_closed_on_every_way(self):
        self.assertEqual({cells.CLOSED}, {cell.expected for cell in self.cells if cell.relation == "other tenant"})


if __name__ == "__main__":
    unittest.main()
