#!/usr/bin/env python3
"""Which crates are in the product, under which licence.

    scripts/licences.py --write        writes docs/licences.md
    scripts/licences.py --check        fails if docs/licences.md is out of date or a crate's licence is not on the list below
    scripts/licences.py --sdk DIR      writes DIR/sbom.json (CycloneDX) and DIR/licences/: the texts for what libbie and bie contain

Everything comes from `cargo metadata --locked` and Cargo.lock; Linux on x86-64 is the platform.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib"}
# Used while building or testing, in no file that is handed out.
ALLOWED_IN_TOOLS = ALLOWED | {"MPL-2.0"}
RUNTIME = {"name": "onnxruntime", "version": "1.28.0", "license": "MIT"}


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"licences: cargo metadata failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def crates():
    """[(package, use)], sorted; use is "libbie", "distill" or "tools": the first of these that contains the crate."""
    data = metadata()
    packages = {p["id"]: p for p in data["packages"]}
    nodes = {n["id"]: n for n in data["resolve"]["nodes"]}

    def is_macro(identity):
        return any("proc-macro" in t["kind"] for t in packages[identity]["targets"])

    def reach(start, kinds):
        """What is linked into a package: through normal dependencies, past no procedural macro (it runs in the compiler)."""
        seen, stack = set(), [start]
        while stack:
            identity = stack.pop()
            if identity in seen:
                continue
            seen.add(identity)
            for dependency in nodes[identity]["deps"]:
                wanted = any(k["kind"] in kinds for k in dependency["dep_kinds"])
                if wanted and (kinds != {None} or not is_macro(dependency["pkg"])):
                    stack.append(dependency["pkg"])
        return seen

    own = {packages[i]["name"]: i for i in data["workspace_members"]}
    groups = {"libbie": reach(own["bie"], {None}), "distill": reach(own["distill"], {None})}
    groups["tools"] = reach(own["bie"], {None, "build", "dev"}) | reach(own["distill"], {None, "build", "dev"})
    found, result = set(own.values()), []
    for use, identities in groups.items():
        result += [(packages[i], use) for i in identities - found]
        found |= identities
    return sorted(result, key=lambda pair: (list(groups).index(pair[1]), pair[0]["name"], pair[0]["version"]))


def choose(expression, allowed):
    """True if the SPDX expression can be fulfilled with allowed licences alone."""
    text = re.sub(r"\s+WITH\s+LLVM-exception", "", expression or "").replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^\s()]+", text)

    def either():
        value = both()
        while tokens[:1] == ["OR"]:
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens[:1] == ["AND"]:
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        if not tokens:
            return False
        token = tokens.pop(0)
        if token != "(":
            return token in allowed
        value = either()
        return bool(tokens) and tokens.pop(0) == ")" and value

    return either() and not tokens


def page(entries):
    lines = [
        "# Licences of what bie is made of",
        "",
        "Written by `scripts/licences.py --write`; `.ci/run` checks that it is up to date and that every licence is on the list in that script.",
        "bie itself: Apache-2.0 (LICENSE).",
        "",
        "## Beside the library",
        "",
        "| part | version | licence |",
        "|---|---|---|",
        f"| ONNX Runtime (`libbie_onnxruntime.so`), unchanged from its Python package | {RUNTIME['version']} | {RUNTIME['license']} |",
        "",
        "Its licence and third-party notices lie beside it in `runtime/` and in the SDK. A model bundle has licences of its own: see its README.md.",
    ]
    titles = {
        "libbie": "In libbie.so and bie",
        "distill": "In distill besides",
        "tools": "For building and testing only",
    }
    for use, title in titles.items():
        lines += ["", f"## {title}", "", "| crate | version | licence |", "|---|---|---|"]
        lines += [f"| {p['name']} | {p['version']} | {p['license']} |" for p, kind in entries if kind == use]
        if use == "libbie":
            lines += ["| the Rust standard library | of the compiler | MIT OR Apache-2.0 |"]
    return "\n".join(lines) + "\n"


def checksums():
    """{(name, version): SHA-256 of the crate file} from Cargo.lock."""
    result = {}
    for block in (ROOT / "Cargo.lock").read_text().split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(\w+) = "([^"]*)"$', block, re.M))
        result[fields["name"], fields["version"]] = fields.get("checksum")
    return result


def sdk(folder, entries):
    linked = [p for p, use in entries if use == "libbie"]
    hashes = checksums()
    components = [{"type": "library", **{k: RUNTIME[k] for k in ("name", "version")}, "licenses": [{"license": {"id": RUNTIME["license"]}}]}]
    for p in linked:
        component = {"type": "library", "name": p["name"], "version": p["version"], "purl": f"pkg:cargo/{p['name']}@{p['version']}"}
        component["licenses"] = [{"expression": p["license"].replace("/", " OR ")}]
        if hashes.get((p["name"], p["version"])):
            component["hashes"] = [{"alg": "SHA-256", "content": hashes[p["name"], p["version"]]}]
        components.append(component)
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}
    (folder / "sbom.json").write_text(json.dumps(bom, indent=1) + "\n")

    texts = folder / "licences"
    texts.mkdir(exist_ok=True)
    for p in linked:
        home = pathlib.Path(p["manifest_path"]).parent
        wanted = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.I)
        files = sorted(f for f in home.iterdir() if f.is_file() and wanted.match(f.name) and f.suffix != ".rs")
        body = "\n\n".join(f"--- {f.name} ---\n{f.read_text(errors='replace')}" for f in files)
        head = f"{p['name']} {p['version']}\nLicence: {p['license']}\nAuthors: {', '.join(p['authors']) or 'see the crate'}\n\n"
        (texts / f"{p['name']}-{p['version']}.txt").write_text(head + body)


def main():
    entries = crates()
    bad = [f"{p['name']} {p['version']}: {p['license']}" for p, use in entries
           if not choose(p["license"], ALLOWED_IN_TOOLS if use == "tools" else ALLOWED)]
    if bad:
        sys.exit("licences: not on the list in scripts/licences.py: " + "; ".join(bad))
    arguments = sys.argv[1:]
    if arguments == ["--write"]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(entries))
    elif arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != page(entries):
            sys.exit("licences: docs/licences.md is out of date; run scripts/licences.py --write")
    elif len(arguments) == 2 and arguments[0] == "--sdk":
        sdk(pathlib.Path(arguments[1]), entries)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
