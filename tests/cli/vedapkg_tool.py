"""vedapkg in a home of its own, for tests."""

import json
import os
import pathlib
import pty
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VEDAPKG = os.environ.get("VEDAPKG") or str(ROOT / "build" / "vedapkg")


class Tool:
    """vedapkg in a directory, with a home; every run must end as it is expected to."""

    def __init__(self, directory, home="home"):
        self.directory = pathlib.Path(directory)
        self.home = self.directory / home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "EXIA_HOME": str(self.home),
        }
        for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "ASAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def other_home(self, name):
        return Tool(self.directory, name)

    def start(self, *words, **options):
        options = {"env": self.environment, "cwd": self.directory, **options}
        return subprocess.Popen([VEDAPKG, *map(str, words)], **options)

    def run(self, *words, code=0, **options):
        """Run it; the answer has .stdout and .stderr as text, with text=False as bytes."""
        options = {
            "env": self.environment,
            "cwd": self.directory,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            [VEDAPKG, *map(str, words)],
            timeout=60,
            **options,
        )
        assert done.returncode == code, (words, done)
        return done

    def text(self, *words):
        """What a command prints, without the last newline."""
        return self.run(*words).stdout.rstrip("\n")

    def json(self, *words):
        """The objects that a command prints with --json."""
        return [json.loads(line) for line in self.text(*words, "--json").splitlines()]

    def fails(self, *words, code=1, says=""):
        """It must fail with one line on stderr and nothing on stdout."""
        done = self.run(*words, code=code)
        assert done.stdout == "", (words, done)
        assert done.stderr.startswith("vedapkg: "), (words, done)
        assert done.stderr.count("\n") == 1 and done.stderr[-1] == "\n", (words, done)
        assert len(done.stderr) < 400, (words, done)
        assert says in done.stderr, (words, done)
        return done.stderr

    def workspace(self, name="hello", version=None, **manifest):
        """A workspace with a code component; answers its directory."""
        directory = self.directory / f"{name}.workspace"
        source = self.directory / f"{name}.py"
        source.write_text(f"def greet():\n    return 'I am {name}'\n")
        self.run("new", name, directory)
        self.run("add", source, "--as", "code", "-C", directory)
        if version is not None:
            manifest["version"] = version
        if manifest:
            file = directory / "veda.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), **manifest}))
        return directory

    def package(self, name="hello", **manifest):
        """A packed workspace; answers the file."""
        directory = self.workspace(name, **manifest)
        return self.directory / self.text("pack", directory)


def terminal():
    """A new terminal: our end of it, and that of the program."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal is to be had here: {error}")


def shown_at_last(ours):
    """What a terminal shows from now on until its program has ended."""
    seen = b""
    try:
        while more := os.read(ours, 1000):
            seen += more
    except OSError:  # how a terminal without a writer ends
        pass
    os.close(ours)
    return seen


# The table of commands, as `help --json` prints it.
COMMANDS = [
    json.loads(line)
    for line in subprocess.check_output([VEDAPKG, "help", "--json"], text=True).splitlines()
]
