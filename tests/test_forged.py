"""Every package that the C tests forge, in the hands of others: what we accept, they read as we do."""

import os
import pathlib
import subprocess

import pytest
import veda_reader
from test_veda_reader import VEDAPKG, on_disk

BUILT = pathlib.Path(VEDAPKG).parent / "tests"
TESTS = [path for path in sorted(BUILT.glob("test_forged_*")) if not path.suffix]


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """The path, the status and a piece of the text of each package, as the C tests expect them."""
    folder = tmp_path_factory.mktemp("forged")
    for test in TESTS:
        environment = {**os.environ, "EXIA_FORGED": str(folder)}
        done = subprocess.run([test], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done
    rows = [line.split("\t") for line in (folder / "index").read_text().splitlines()]
    return [(folder / name, int(status), text) for name, status, text in rows]


@pytest.fixture(scope="module")
def accepted(forged):
    return [path for path, status, _ in forged if status == 0]


def run(*words):
    """What a tool writes, without a word of complaint."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b""), (words, done)
    return done.stdout


def test_there_are_packages_of_both_kinds(forged, accepted):
    assert len(TESTS) >= 4
    assert len(accepted) >= 19
    assert len(forged) >= 300


@pytest.mark.parametrize("command", [["tar", "--zstd"], ["bsdtar"]])
def test_ordinary_tools_see_what_the_library_sees(command, accepted, tmp_path):
    for path in accepted:
        listing = run(*command, "-tvf", path)
        others, ours = tmp_path / f"{path.stem}.others", tmp_path / f"{path.stem}.ours"
        others.mkdir()
        run(*command, "-xf", path, "-C", others)
        run(VEDAPKG, "unpack", "-q", path, ours)
        extracted = on_disk(os.fsencode(others))
        own = [name for name in extracted if name.split(b"/")[0] == b"VEDA"]
        assert own, path.name
        assert listing.count(b"VEDA/") == len(own) - 1, path.name
        for name in own:
            del extracted[name]
        assert extracted == on_disk(os.fsencode(ours)), path.name


def test_a_second_reader_accepts_and_refuses_what_the_library_does(forged):
    """It was written from FORMAT.md alone, so what it does not agree on is not said there."""
    for path, status, text in forged:
        if status == 0:
            veda_reader.read(path)
        else:
            with pytest.raises(ValueError):
                pytest.fail(f"{path.name} is read: {text}, {veda_reader.read(path).metadata}")
