"""The order of versions and what a dependency admits, beside Python's own library for it."""

import os
import pathlib
import random
import subprocess

import pytest
from test_veda_reader import VEDAPKG

packaging_version = pytest.importorskip("packaging.version")
specifiers = pytest.importorskip("packaging.specifiers")
PROGRAM = pathlib.Path(VEDAPKG).parent / "tests" / "test_version"


def make_version(draw):
    release = ".".join(str(draw.choice((0, 0, 1, 1, 2, 3, 10))) for _ in range(draw.randint(1, 3)))
    pre = draw.choice(("", "", "", "a1", "b2", "rc1", "-alpha.1", "-rc.2", ".dev1", "a1.dev2"))
    post = draw.choice(("", "", "", ".post1", ".post2.dev1")) if "dev" not in pre else ""
    return release + pre + post + draw.choice(("", "", "", "", "+cpu", "+cu.12"))


def make_clause(draw):
    operator = draw.choice(("==", "!=", "<", "<=", ">", ">=", "~="))
    version = make_version(draw)
    if operator in ("==", "!=") and draw.random() < 0.4:
        return operator + version.split("+")[0].split("-")[0].rstrip("abrcdevpost") + ".*"
    if operator not in ("==", "!="):
        version = version.split("+")[0]
    return operator + version


def ask(tmp_path, questions):
    """The answers of the library's own test program."""
    file = tmp_path / "questions"
    file.write_text("".join(f"{one}\t{other}\n" for one, other in questions))
    environment = {**os.environ, "EXIA_QUESTIONS": str(file)}
    done = subprocess.run([PROGRAM, "*questions*"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done
    return (tmp_path / "questions.answers").read_text().splitlines()


def test_versions_have_the_order_of_pep_440(tmp_path):
    draw = random.Random(440)
    pairs = [(make_version(draw), make_version(draw)) for _ in range(5_000)]
    for (one, other), answer in zip(pairs, ask(tmp_path, pairs), strict=True):
        left, right = packaging_version.Version(one), packaging_version.Version(other)
        assert int(answer) == (left > right) - (left < right), (one, other)


def test_a_dependency_admits_what_pep_440_admits(tmp_path):
    draw = random.Random(441)
    questions, expected = [], []
    while len(questions) < 5_000:
        clauses = [make_clause(draw) for _ in range(draw.randint(1, 2))]
        version = make_version(draw)
        try:
            theirs = specifiers.SpecifierSet(",".join(clauses))
        except specifiers.InvalidSpecifier:
            continue
        # a pre-release is admitted where a clause names one, whichever clause that is
        named = any(
            packaging_version.Version(c.version.removesuffix(".*")).is_prerelease for c in theirs
        )
        asked = packaging_version.Version(version)
        good = theirs.contains(asked, prereleases=True) and (named or not asked.is_prerelease)
        questions.append((f"other {','.join(clauses)}", version))
        expected.append(good)
    for question, good, answer in zip(questions, expected, ask(tmp_path, questions), strict=True):
        assert answer == str(int(good)), question
