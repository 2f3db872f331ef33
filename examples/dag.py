"""A graph of steps: each runs once all before it are done, in parallel where nothing forbids it."""

import exia

results = {}
steps = {
    "load": lambda: list(range(100)),
    "clean": lambda: [n for n in results["load"] if n % 10],
    "mean": lambda: sum(results["clean"]) / len(results["clean"]),
    "largest": lambda: max(results["clean"]),
    "report": lambda: f"mean {results['mean']:.1f}, largest {results['largest']}",
}

# A node and what it comes after, as in graphlib.
dag = exia.Dag({"clean": ["load"], "mean": ["clean"], "largest": ["clean"]})
dag.add("report", "mean", "largest")
print("order: ", dag.order())
print("levels:", dag.levels())


def run(step):
    results[step] = steps[step]()


# A row a step.  What a step raises is raised here; its descendants are skipped, nothing else.
for row in dag.run(run, threads=2):
    print(row["name"], row["state"])
print(results["report"])
print(dag.export("mermaid"))

# Edges may close a cycle; asking for an order then says which, and cycles() gives them as data.
dag.add("clean", "report")
try:
    dag.order()
except exia.CycleError as error:
    print(error)
print("cycles:", dag.cycles())
