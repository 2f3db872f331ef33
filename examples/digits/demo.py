"""The whole life of an algorithm with Exia, on the handwritten digits of scikit-learn: `make demo`.

Each step below is a few lines; what it runs is meant to be read too:

    train.py            the pool of components, the DAG of steps, the library of models
    read_back.py        the best model, read in a new process
    digits/__init__.py  the code that is packed and shipped
    use.py              the installed algorithm, run from Python
    classify.c          the installed model, run from C

Everything is written below build/demo, which is removed first.  Three directories there play three
machines: `here` builds, `depot` is the remote, `there` installs.  Any difference between what they
predict ends the demo with exit status 1.
"""

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np

SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parents[1]
BUILD = ROOT / "build"
DEMO = BUILD / "demo"
HERE, DEPOT, THERE = DEMO / "here", DEMO / "depot", DEMO / "there"


# ---- how the demo talks -------------------------------------------------------------------------


@contextmanager
def step(number, title):
    """Print a numbered step and, at its end, the time that it took."""
    print(f"\n{number}. {title}", flush=True)
    started = time.perf_counter()
    yield
    print(f"   [{time.perf_counter() - started:.2f} s]", flush=True)


def say(text):
    """Print lines below a step, long ones folded; of a word too long for a line, its beginning."""
    for line in text.splitlines():
        if len(line) > 96 and " " not in line:
            line = f"{line[:60]}... ({len(line)} characters)"
        for piece in textwrap.wrap(line, 96, subsequent_indent="    ", break_on_hyphens=False):
            print(f"   {piece}", flush=True)


def run(host, program, *arguments, environment=None):
    """Run a command in build/demo as somebody at `host` would; show it and what it prints."""
    say(f"{host.name}$ {shlex.join([program, *arguments])}")
    if environment is None:
        environment = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}
    environment = {**environment, "EXIA_HOME": str(host)}
    done = subprocess.run(
        [sys.executable if program == "python" else program, *arguments],
        cwd=DEMO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    say(done.stdout)
    check(done.returncode == 0, f"the command ended with exit status {done.returncode}")
    return done.stdout


def check(holds, otherwise):
    if not holds:
        sys.exit(f"demo: {otherwise}")


# ---- the seven steps ----------------------------------------------------------------------------


def main():
    started = time.perf_counter()
    shutil.rmtree(DEMO, ignore_errors=True)
    for directory in (HERE, DEPOT, THERE):
        directory.mkdir(parents=True)
    os.environ["EXIA_HOME"] = str(HERE)  # where this process keeps its models
    source = os.path.relpath(SOURCE, DEMO)
    print(
        "Three directories of build/demo play three machines: `here` builds, `depot` is a remote,"
    )
    print(
        "`there` installs.  The prompt says whose command it is; a machine's directory is its home"
    )
    print("of Exia (EXIA_HOME).  Commands run in build/demo.")

    with step(1, "A pool of components, each built after what it needs"):
        import train  # here, so that the demo says something before scikit-learn is loaded

        pool = train.make_pool()
        say("plan: " + " -> ".join(pool.plan().order()))
        with pool.borrow("loader") as loader, pool.borrow("classifier"), pool.borrow("scorer"):
            images, labels = loader.test_images, loader.test_labels
            built = [row["name"] for row in pool.show() if row["built"]]
            say("built when they were borrowed: " + ", ".join(built))

    with step(2, "A DAG runs the steps, two at a time"):
        report, pipelines, accuracies = train.run_steps(pool)
        for row in sorted(report, key=lambda row: row["started_ns"]):
            say(
                f"{row['name']:14} {row['started_ns'] / 1e6:6.0f} ms to {row['ended_ns'] / 1e6:6.0f} ms"
            )
        pool.close()  # destroys what it built, dependents first

    with step(3, "Two models are written to the library, with their accuracy"):
        versions = train.write_versions(pipelines, accuracies)
        for kind, version in versions.items():
            say(f"digits@{version}  {kind:8} accuracy {accuracies[kind]:.6f}")
        best = max(versions, key=lambda kind: (accuracies[kind], versions[kind]))
        expected = pipelines[best].predict(images)

    with step(4, "The best one is read back in a new process"):
        np.save(DEMO / "images.npy", images)
        run(HERE, "python", f"{source}/read_back.py", "images.npy", "predicted.npy")
        check(
            np.array_equal(np.load(DEMO / "predicted.npy"), expected),
            "the model that was read back predicts something else",
        )
        say(f"its {len(expected)} predictions are those of the model in this process")

    with step(5, "Code, model and data become a package that travels to another machine"):
        np.savetxt(DEMO / "test.csv", np.column_stack([images, labels]), fmt="%d", delimiter=",")
        run(HERE, "vedapkg", "new", "digits", "workspace")
        for path, kind in (
            (f"{source}/digits", "code"),
            ("digits@best(metrics.accuracy)", "model"),
            ("test.csv", "data"),
        ):
            run(HERE, "vedapkg", "add", path, "--as", kind, "-C", "workspace")
        entry = "predict=digits:predict"  # what the package offers to others
        run(HERE, "vedapkg", "add", "--entry", entry, "-C", "workspace")
        run(HERE, "vedapkg", "pack", "workspace", "-o", "digits.veda")
        run(HERE, "vedapkg", "verify", "digits.veda")
        run(HERE, "vedapkg", "register", "digits.veda")
        remote = ("--records", url("sqlite", "catalog.db"), "--packages", url("file", "packages"))
        run(HERE, "vedapkg", "remote", "add", "depot", *remote)
        run(HERE, "vedapkg", "push", "digits", "--to", "depot")
        run(THERE, "vedapkg", "remote", "add", "depot", *remote)
        run(THERE, "vedapkg", "query", "--remote", "depot")
        run(THERE, "vedapkg", "pull", "digits", "--from", "depot")
        run(THERE, "vedapkg", "install", "digits")

    with step(6, "The installed algorithm runs there, from Python"):
        answer = run(THERE, "python", f"{source}/use.py")
        compare("Python", answer, expected, accuracies[best])
        check("the pickle is refused" in answer, "a pickle from elsewhere was loaded")

    with step(7, "The installed model runs there, from C, without Python"):
        warnings = ("-std=c11", "-O2", "-Wall", "-Wextra")
        library = ("-L..", "-lexia", "-Wl,-rpath,$ORIGIN/..")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        output = ("-I../../include", "-o", "classify", f"{source}/classify.c")
        run(HERE, *compiler, *warnings, *output, *library)
        bare = {"PATH": "/nonexistent"}
        answer = run(THERE, "./classify", "there/installed/digits/current", environment=bare)
        compare("C", answer, expected, accuracies[best])

    print("\nLook around: EXIA_HOME=build/demo/here build/vedapkg model ls")
    print(f"All predictions agree.  Total time: {time.perf_counter() - started:.2f} s")


def url(scheme, name):
    """A URL is percent-encoded: the tree may lie in a directory with spaces in its name."""
    return f"{scheme}:{quote(str(DEPOT / name))}"


def compare(language, answer, expected, accuracy):
    """The first line a program prints is its predictions, the second its accuracy."""
    predicted, line = answer.splitlines()[:2]
    same = predicted == "".join(map(str, expected)) and line.split()[1] == f"{accuracy:.6f}"
    check(same, f"{language} predicts something else than step 3")
    say("the same predictions and accuracy as in step 3")


if __name__ == "__main__":
    main()
