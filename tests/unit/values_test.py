# tests/unit/values_test.py: the page of the chart's values is what values.yaml and its schema say. Needs neither helm nor a cluster.
import json
import pathlib
import sys
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/partywall"

sys.path.insert(0, str(ROOT / "tools/lib"))
import values_doc  # noqa: E402


def leaves(schema, path=""):
    """Every value that the schema knows; a map of free keys is one."""
    for name, field in schema.get("properties", {}).items():
        below = list(leaves(field, f"{path}{name}."))
        yield from below or [f"{path}{name}"]


class ValuesTest(unittest.TestCase):
    def test_the_page_is_what_the_script_writes(self):
        self.assertEqual(values_doc.page(CHART), (ROOT / "docs/values.md").read_text(),
                         "docs/values.md is old: python3 tools/lib/values_doc.py helm/partywall docs/values.md")

    def test_every_value_of_the_schema_is_there(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        page = (ROOT / "docs/values.md").read_text()
        wanted = {path for path in leaves(schema) if not path.startswith(("global", "resources."))}
        self.assertEqual([], sorted(path for path in wanted if f"| `{path}` |" not in page))

    def test_every_value_has_a_default(self):
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.assertEqual(set(values) | {"global"},
                         set(json.loads((CHART / "values.schema.json").read_text())["properties"]))

    def test_a_line_that_is_not_understood_is_told(self):
        with self.assertRaises(SystemExit):
            list(values_doc.rows("a: 1\n? b\n"))


if __name__ == "__main__":
    unittest.main()
