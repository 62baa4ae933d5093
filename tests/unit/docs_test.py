# tests/unit/docs_test.py: holds the documents against the code: examples are accepted, the tables of fields, events and
# reasons are complete, links lead somewhere. Needs no root and no agent.
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PARTYWALL_BIN", ROOT / "build/release/bin")).resolve()
PARTYWALL = PROGRAMS / "partywall"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
REFERENCE = (ROOT / "docs/policy.md").read_text()
EVENTS = (ROOT / "docs/events.md").read_text()
TIER = "apiVersion: partywall.dev/v1alpha1\nkind: Tier\nmetadata: {name: standard}\n"


def fences(text, language):
    """The code blocks of a page that are of that language, and what follows each of them."""
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found.group(1), text[found.end():]


def check(policy, *flags, name="acme.yaml"):
    """(exit code, what it says) of `partywall check` on a file of that text."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, name).write_text(policy)
        done = subprocess.run([PARTYWALL, "check", name, *flags], cwd=folder, capture_output=True,
                              text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr


def check_config(config):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config)
        file.flush()
        return check(TIER, "--config", file.name)


def table_rows(section, page=REFERENCE):
    """First cells of the tables of a section, without their backquotes."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL).group(1)
    for line in text.splitlines():
        if line.startswith("| `"):
            yield re.findall(r"`([^`]+)`", line.split("|")[1])


def fields_of(section):
    return [row[0] for row in table_rows(section)]


def nested(fields):
    """The maps among the fields, each with the names that may stand in it."""
    maps = {"": set()}
    for field in fields:
        parent, _, name = field.rpartition(".")
        maps.setdefault(parent, set()).add(name.removesuffix("[]"))
    return maps


def document(path, key, kind):
    """A document of that kind in which `key` stands where `path` says, along its lists and maps."""
    body = f"{{{key}: 1}}"
    for name in reversed(path.split(".") if path else []):
        body = f"{{{name[:-2]}: [{body}]}}" if name.endswith("[]") else f"{{{name}: {body}}}"
        if name == "pods":  # which are looked at together with these only
            body = f"{{namespaces: {{names: [a]}}, {body[1:]}"
    if path.startswith("infrastructure"):
        return body
    inner = body[1:-1]
    return f"kind: {kind}\n{inner}\n"


class ExamplesTest(unittest.TestCase):
    def test_each_example_is_accepted(self):
        seen = 0
        for page in PAGES:
            for text, _ in fences(page.read_text(), "yaml"):
                is_policy = re.search(r"^kind: ", text, re.MULTILINE)
                code, said = check(text) if is_policy else check_config(text)
                self.assertEqual(0, code, f"{page.name}: {said}\n{text}")
                seen += 1
        self.assertGreaterEqual(seen, 5)

    def test_the_refused_example_is_refused_in_these_words(self):
        (text, rest), = fences(REFERENCE, "yaml refused")
        told, _ = next(fences(rest, "text"))
        self.assertEqual((1, told), check(text))

    def test_the_examples_are_accepted_together(self):
        done = subprocess.run([PARTYWALL, "check", ROOT / "docs/examples"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual((0, ""), (done.returncode, done.stderr))


class FieldsTest(unittest.TestCase):
    def known(self, path, kind):
        """The fields that the parser knows at a place, as it lists them when it meets another."""
        text = document(path, "zzz", kind)
        _, said = check_config(text) if path.startswith("infrastructure") else check(text)
        found = re.search(r'unknown field "zzz"\. Known fields: (.*)', said)
        self.assertTrue(found, f"{kind} {path}: {said}")
        return set(found.group(1).split(", "))

    def test_the_tables_hold_exactly_what_the_parser_knows(self):
        for kind in ("Tier", "Tenant"):
            for path, names in nested(fields_of(kind)).items():
                self.assertEqual(names, self.known(path, kind), f"{kind}: {path or 'document'}")

    def test_so_does_the_table_of_the_lane(self):
        maps = nested(fields_of("The infrastructure lane"))
        self.assertEqual({"infrastructure"}, maps.pop(""))
        for path, names in maps.items():
            self.assertEqual(names, self.known(path, ""), path)

    def test_what_is_said_to_be_refused_is_refused(self):
        for fields in table_rows("Refused by this version"):
            for field in fields:
                path, _, name = field.rpartition(".")
                _, said = check(document(path, name, "Tenant"))
                self.assertIn("not enforced by this version", said, field)

    def test_the_parser_refuses_nothing_else_for_that_reason(self):
        told = {field.rpartition(".")[2]
                for fields in table_rows("Refused by this version") for field in fields}
        lists = []
        for file in sorted((ROOT / "agent/policy").glob("*.cc")):
            lists += re.findall(r"FieldNames \w+\{\s*\{[^}]*\},\s*\{([^}]*)\}", file.read_text())
        self.assertGreater(len(lists), 5, "the parser's tables were not found")
        self.assertEqual(told, set(re.findall(r'"(\w+)"', " ".join(lists))))

    def test_a_name_that_is_missing_is_noticed(self):
        self.assertNotEqual({"ceiling"}, self.known("spec.limits.egress", "Tier"))


class EventsTest(unittest.TestCase):
    def words(self, macro):
        """(name, label) of the entries of an X macro of maps/abi/reasons.h."""
        text = (ROOT / "maps/abi/reasons.h").read_text()
        body = re.search(rf"#define {macro}\(X\)(.*?[^\\])\n", text, re.DOTALL).group(1)
        return re.findall(r'X\((\w+), "(\w+)"', body)

    def flat(self, section):
        return [word for row in table_rows(section, EVENTS) for word in row]

    def test_the_table_holds_exactly_the_fields_that_events_have(self):
        code = (ROOT / "agent/observe/event_json.cc").read_text()
        written = re.findall(r'\{"(\w+)", |json\["(\w+)"\]', code)
        self.assertGreater(len(written), 15)
        self.assertEqual({"".join(pair) for pair in written}, set(self.flat("Fields")))

    def test_the_example_is_an_event(self):
        example = json.loads(next(fences(EVENTS, "json"))[0])
        self.assertEqual([], sorted(set(example) - set(self.flat("Fields"))))
        self.assertIn(example["reason"], self.flat("Reasons"))

    def test_every_reason_and_class_is_explained(self):
        denials = [label for name, label in self.words("PARTYWALL_REASONS") if not name.startswith("ALLOW")]
        self.assertEqual(denials, self.flat("Reasons"))
        self.assertEqual([label for _, label in self.words("PARTYWALL_CLASSES")], self.flat("Classes"))


def help_of(program, *words):
    return subprocess.run([PROGRAMS / program, *words, "--help"], capture_output=True, text=True,
                          timeout=60).stdout


class ManualsTest(unittest.TestCase):
    def manual(self, name):
        return (ROOT / "tools/man" / name).read_text().replace("\\-", "-")

    def test_the_agents_flags(self):
        flags = set(re.findall(r"--[a-z][a-z-]+", help_of("partywalld"))) - {"--help", "--version"}
        self.assertGreater(len(flags), 10)
        text = self.manual("partywalld.8")
        heads = {flag for line in text.splitlines() if line.startswith(".B")
                 for flag in re.findall(r"--[a-z][a-z-]+", line)}
        self.assertEqual(flags, heads)
        example = (ROOT / "agent/partywalld.yaml").read_text()
        for flag in flags - {"--config"}:
            key = re.sub(r"-(.)", lambda found: found.group(1).upper(), flag[2:])
            if key != "node":
                self.assertRegex(example, rf"(?m)^(# )?{key}: ")

    def test_the_verbs(self):
        verbs = re.findall(r"^  ([a-z]+) ", help_of("partywall").partition("ubcommands:")[2], re.MULTILINE)
        self.assertIn("explain", verbs)
        text = self.manual("partywall.1")
        for verb in verbs:
            self.assertRegex(text, rf"(?m)^\.(B|BI|BR) .*\b{verb}\b")
            for names in re.findall(r"^  (-[-\w,]+)", help_of("partywall", verb), re.MULTILINE):
                if names != "-h,--help":
                    self.assertTrue(any(name in text for name in names.split(",")), f"{verb} {names}")


class ArchitectureTest(unittest.TestCase):
    def test_every_object_is_named(self):
        page = (ROOT / "docs/architecture.md").read_text()
        objects = {file.name.removesuffix(".bpf.c") for file in (ROOT / "bpf").glob("*.bpf.c")}
        self.assertEqual(objects, {row[0] for row in table_rows("Programs", page)})


class SecurityModelTest(unittest.TestCase):
    """The catalogue of attacks has 52 rows; each names tests, and they exist."""

    def rows(self):
        page = (ROOT / "docs/security-model.md").read_text()
        for line in page.splitlines():
            found = re.match(r"\| (\d+) \|.*\|([^|]*)\|$", line)
            if found:
                yield int(found.group(1)), re.findall(r"`([\w/]+)\.(\w+)`", found.group(2))

    def functions(self, file):
        """name -> number of the row that the function is decorated with, "" without one."""
        path = ROOT / "tests" / (file if "/" in file else "adversarial/" + file)
        found, row = {}, ""
        for line in path.with_suffix(".py").read_text().splitlines():
            if line.startswith("@row("):
                row = re.match(r"@row\((\d+)", line).group(1)
            named = re.match(r" *def (\w+)\(", line)
            if named:
                found[named.group(1)] = row
                row = ""
        return found

    def test_every_row_names_tests_that_exist(self):
        rows = list(self.rows())
        self.assertEqual(list(range(1, 53)), [number for number, _ in rows])
        for number, tests in rows:
            self.assertTrue(tests, f"row {number} names no test")
            for file, name in tests:
                functions = self.functions(file)
                self.assertIn(name, functions, f"row {number}: {file}")
                self.assertIn(functions[name], ("", str(number)), f"{file}.{name}")

    def test_every_attack_is_in_the_table(self):
        told = {name for _, tests in self.rows() for _, name in tests}
        for file in (ROOT / "tests/adversarial").glob("*_test.py"):
            for name, row in self.functions(file.stem).items():
                if row:
                    self.assertIn(name, told, file.name)


class LinksTest(unittest.TestCase):
    def test_each_link_leads_to_a_file_and_a_heading(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
                self.follow(page, "".join(target))

    def follow(self, page, target):
        if re.match(r"https?:", target):
            return
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        self.assertTrue(file.exists(), f"{page.name}: {target}")
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
            self.assertIn(anchor, known, f"{page.name}: {target}")

    def test_every_page_is_reached_from_the_readme(self):
        readme = (ROOT / "README.md").read_text()
        for page in PAGES:
            if page.parent.name == "docs":
                self.assertIn(f"](docs/{page.name})", readme)


if __name__ == "__main__":
    unittest.main()
