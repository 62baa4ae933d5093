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
        names = [f"{name}-{node}" for name in world.NAMESPACES for node in world.NODES] + ["acme-host"]
        self.pods = {name: {4: f"10.244.0.{i}", 6: f"fd00:244::{i}"} for i, name in enumerate(names, 2)}
        places = [f"{name}/probe" for name in world.NAMESPACES]
        places += ["acme/mirror", "acme/borrowed", "umbrella/borrowed"]
        self.services = {place: {4: f"10.96.0.{i}", 6: f"fd00:96::{i}"} for i, place in enumerate(places, 2)}


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
        self.assertEqual({cells.CLOSED}, {cell.expected for cell in spoofed})

    def test_another_tenant_is_closed_on_every_way(self):
        self.assertEqual({cells.CLOSED}, {cell.expected for cell in self.cells if cell.relation == "other tenant"})


if __name__ == "__main__":
    unittest.main()
