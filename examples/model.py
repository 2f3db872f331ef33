"""A library of models: versions, metrics, aliases, rollback.  Run it with the library's directory."""

import sys

import numpy as np

import exia

if len(sys.argv) != 2:
    print("usage: python model.py DIRECTORY", file=sys.stderr)
    sys.exit(2)
library = exia.Library(sys.argv[1])

# Any Python object becomes the next version: 1, 2, 3 ...  A dict of arrays is kept as plain tensors,
# which C maps too.
for accuracy in (0.91, 0.97, 0.94):
    weights = {"w": np.full((2, 3), accuracy, dtype=np.float32), "b": np.zeros(3)}
    version = library.write("example", weights, metrics={"accuracy": accuracy})
    print("wrote version", version)

# An alias is moved only from where the mover saw it, so two movers cannot overrun each other.
library.alias("example", "champion", 1, expect=0)  # 0: it must not exist yet
library.alias("example", "champion", 2, expect=1, message="better on the test set")
try:
    library.alias("example", "champion", 3, expect=1)
except exia.ConflictError as error:
    print("not moved:", error)
print("rolled back to version", library.rollback("example", "champion"))

for selector in ("example", "example@champion", "example@best(metrics.accuracy)", "example@3"):
    print(selector, "->", library.read(selector)["w"][0, 0])

# Tensors are mapped from the file, not copied.  Writing into them never changes the file.
with library.open("example@best(metrics.accuracy)") as model:
    print(model.name, model.version, {name: t.shape for name, t in model.tensors.items()})

for row in library.search("metrics.accuracy > 0.92 order by metrics.accuracy desc"):
    print(row["version"], row["metrics"])
