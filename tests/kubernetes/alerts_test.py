# tests/kubernetes/alerts_test.py: promtool runs the unit tests of the chart's alerts; every alert has one that fires and one that
# does not. Needs no root and no cluster.
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from apiserver import program
from chart import CHART, render

RULES = CHART / "files/alerts.yaml"
TESTS = pathlib.Path(__file__).parent / "alerts_test.yaml"


def promtool(*words):
    done = subprocess.run([program("promtool"), *words], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


class AlertsTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.rules = yaml.safe_load(RULES.read_text())
        cls.alerts = {rule["alert"]: rule for group in cls.rules["groups"] for rule in group["rules"]}
        cls.tests = yaml.safe_load(TESTS.read_text())["tests"]

    def run_tests(self, rules, tests=None):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "alerts.yaml").write_text(yaml.safe_dump(rules))
            path = pathlib.Path(folder, "tests.yaml")
            path.write_text(tests or TESTS.read_text())
            return promtool("test", "rules", path)

    def bare(self, **changed):
        """The rules without annotations, and with some expressions replaced."""
        rules = yaml.safe_load(RULES.read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                del rule["annotations"]
                rule["expr"] = changed.get(rule["alert"], rule["expr"])
        return rules

    def test_rules_are_understood(self):
        code, said = promtool("check", "rules", RULES)
        self.assertEqual((0, True), (code, f"{len(self.alerts)} rules found" in said), said)

    def test_every_alert_fires_when_it_should_and_not_before(self):
        code, said = self.run_tests(self.bare())
        self.assertEqual(0, code, said)
        for alert in self.alerts:
            found = [check for test in self.tests for check in test["alert_rule_test"] if check["alertname"] == alert]
            self.assertTrue(any(check["exp_alerts"] for check in found), f"{alert} never fires in a test")
            self.assertTrue(any(not check["exp_alerts"] for check in found), f"{alert} always fires in a test")

    def test_a_rule_that_never_or_always_fires_fails(self):
        whole = yaml.safe_load(TESTS.read_text())
        for alert in self.alerts:
            own = [test for test in self.tests if test["alert_rule_test"][0]["alertname"] == alert]
            for expression in ("vector(1)", "vector(1) == 0"):
                with self.subTest(f"{alert}: {expression}"):
                    code, said = self.run_tests(self.bare(**{alert: expression}), yaml.safe_dump({**whole, "tests": own}))
                    self.assertEqual((1, True), (code, "got:" in said), said)

    def test_annotations_are_sentences_about_the_series(self):
        # promtool shows what they come to when it expects none.
        said = self.run_tests(self.rules)[1]
        found = re.findall(r"Annotations:\{(.+)\}", said)
        self.assertGreater(len(found), 10)
        for text in found:
            for wrong in ("<no value>", "error", "{{", "NaN"):
                self.assertNotIn(wrong, text)
            self.assertIn("description=", text)
        for alert, rule in self.alerts.items():
            self.assertEqual({"summary", "description"}, set(rule["annotations"]), alert)
            self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"), alert)

    def test_the_chart_hands_on_the_same_rules(self):
        [made] = render("prometheusRule.enabled=true", 'prometheusRule.labels={"release":"monitoring"}',
                        only="prometheusrule.yaml")
        self.assertEqual(self.rules, made["spec"])
        self.assertEqual("monitoring", made["metadata"]["labels"]["release"])
        self.assertEqual([], [one for one in render() if one["kind"] == "PrometheusRule"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
