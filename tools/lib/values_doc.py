# tools/lib/values_doc.py: writes docs/values.md out of the chart's values.yaml (names, defaults, comments) and values.schema.json
# (what is accepted). Usage: values_doc.py CHART FILE. A test holds the page against what this writes.
import json
import pathlib
import re
import sys

import yaml

HEAD = """# Values of the chart

Every value of `helm/partywall`, with its default. Written by `tools/lib/values_doc.py` out of `values.yaml` and
`values.schema.json`; a test holds the three together. A value that is not here, or of another kind, stops the installation with
the value named. What the chart does with them is told in [the Kubernetes guide](kubernetes.md).
"""


def accepted(schema):
    """What may be written, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "oneOf" in schema:
        return " or ".join(accepted(one) for one in schema["oneOf"])
    kind = schema.get("type", "anything")
    if kind == "array":
        item = schema.get("items", {})
        what = item.get("description") or ("maps" if item.get("type") == "object" else accepted(item))
        return f"list: {what}" + (", at least one" if schema.get("minItems") else "")
    if kind == "integer":
        least, most = schema.get("minimum"), schema.get("maximum")
        return "number" + (f", {least} to {most}" if most is not None else f" from {least}" if least is not None else "")
    if kind == "string":
        return schema.get("description") or ("text like `" + schema["pattern"].replace("|", "\\|") + "`"
                                             if "pattern" in schema else "text")
    return {"boolean": "`true`, `false`", "object": "map"}.get(kind, kind)


def rows(text):
    """(section, path, comment) of every key, in the order of the file. Fails at a line it does not understand."""
    section, comment, path = "", [], []
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"# -{4} (.*?) -+$", line):
            section, comment = heading.group(1), []
        elif remark := re.match(r" *# ?(.*)$", line):
            comment.append(remark.group(1))
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = path[:len(key.group(1)) // 2] + [key.group(2)]
            yield section, tuple(path), " ".join(comment)
            comment = []
        elif not line.strip():
            comment = []
        elif not re.match(r" *- | {4,}\w+: ", line):
            raise SystemExit(f"values.yaml:{number}: neither a comment nor a key: {line}")


def page(chart):
    """The text of docs/values.md."""
    text = pathlib.Path(chart, "values.yaml").read_text()
    values = yaml.safe_load(text)
    schema = json.loads(pathlib.Path(chart, "values.schema.json").read_text())
    lines, current, told = [HEAD.rstrip()], None, None
    for section, path, comment in rows(text):
        value, kind = values, schema
        for key in path:
            if not isinstance(value, dict) or key not in value:
                break  # of an item of a list, which the list's own row tells
            value, kind = value[key], kind["properties"][key]
        else:
            if section != current:
                current = section
                lines += ["", f"## {section}", "", "| value | default | accepted | meaning |", "|---|---|---|---|"]
            if isinstance(value, dict) and value and "properties" in kind:
                told = (path, comment)  # a map of values of their own: its remark stands before the first of them
                continue
            if told and path[:len(told[0])] == told[0]:
                comment, told = f"{told[1]} {comment}".strip(), None
            default = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
            lines.append(f"| `{'.'.join(path)}` | `{default}` | {accepted(kind)} | {comment} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    pathlib.Path(sys.argv[2]).write_text(page(sys.argv[1]))
