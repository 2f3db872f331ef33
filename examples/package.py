"""A package from a workspace to an installed entry point.  Run it with a new directory."""

import sys
from pathlib import Path
from urllib.parse import quote

import exia

if len(sys.argv) != 2:
    print("usage: python package.py NEW-DIRECTORY", file=sys.stderr)
    sys.exit(2)
top = Path(sys.argv[1])
top.mkdir()

# A package has code, models, data ... and a manifest, veda.json, that a person edits.
(top / "greeting.py").write_text("def greet(name):\n    return f'Hello, {name}.'\n")
workspace = top / "workspace"
exia.new_workspace(workspace, "hello")
exia.add_component(workspace, top / "greeting.py", "code", entry_points={"greet": "greeting:greet"})

file = exia.pack(workspace, top / "hello.veda")
package = exia.Package(file)
package.verify()  # reads everything and compares it with the record
print("digest", package.metadata["digest"])
for row in package.files:
    print(row["type"], row["path"])

# A registry knows packages; a second one stands for another machine, a remote lies between them.
depot = quote(str(top.resolve() / "depot"))  # in a URL, a space is %20
here, there = exia.Registry(top / "here"), exia.Registry(top / "there")
for registry in (here, there):
    registry.add_remote("depot", f"sqlite:{depot}/catalog.db", f"file:{depot}/packages")
here.register(file)
print("pushed:", here.push("hello", to="depot"))
print("the depot has:", [row["name"] for row in there.query(remote="depot")])
print("installed in", there.install("hello", source="depot"))

greet = exia.load("hello:greet", home=top / "there")
print(greet("reader"))
