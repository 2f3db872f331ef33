"""Entry points of real distributions: components and kits that are found by name."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import exia

Distribute = Callable[..., Path]
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"


@pytest.fixture
def distribute(site: Path) -> Distribute:
    """Install a distribution: its metadata, its entry points and its modules."""

    def install(name: str, version: str, entries: str, **modules: str) -> Path:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name, version))
        (info / "entry_points.txt").write_text(entries)
        for module, source in modules.items():
            (site / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return info

    return install


# ---- entry points: what goes wrong --------------------------------------------------------------


def test_an_entry_point_that_nobody_offers_is_named_with_what_there_is(
    pool: exia.Pool, distribute: Distribute
) -> None:
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n")
    with pytest.raises(exia.NotFoundError, match=r"'scalar' in the group exia\.components; there"):
        pool.add_entry_point("scalar")
    with pytest.raises(exia.NotFoundError, match=r"'scaler' of other in"):
        pool.add_entry_point("scaler", distribution="other")
    with pytest.raises(TypeError, match="must be a str"):
        pool.add_entry_point(7)  # type: ignore[arg-type]
    assert pool.show() == []


def test_one_that_two_distributions_offer_is_refused_and_both_are_named(
    pool: exia.Pool, distribute: Distribute
) -> None:
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n",
               acme_a="class Scaler:\n    '''Of acme.'''\n")  # fmt: skip
    distribute("Bolt_Works", "2.5", "[exia.components]\nscaler = bolt_a:Scaler\n",
               bolt_a="class Scaler:\n    '''Of bolt.'''\n")  # fmt: skip
    with pytest.raises(exia.ConflictError) as caught:
        pool.add_entry_point("scaler")
    for words in ("acme_a:Scaler of acme 1.0", "bolt_a:Scaler of Bolt_Works 2.5", "say which"):
        assert words in str(caught.value)
    assert "acme_a" not in sys.modules
    pool.add_entry_point("scaler", distribution="bolt-works")
    assert pool.show("scaler")[0]["about"]["title"] == "Of bolt."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:X", "ModuleNotFoundError"),
        ("acme_a:NoSuchClass", "NoSuchClass"),
        ("acme_a:Broken.deep", "deep"),
        ("acme_bad:X", "ZeroDivisionError"),
        ("not a value", "'not a value'"),
        ("math:pi", "3.14"),
        ("", "''"),
    ],
)
def test_one_that_is_broken_is_an_error_that_names_its_distribution(
    pool: exia.Pool, distribute: Distribute, value: str, words: str
) -> None:
    distribute("acme", "1.0", f"[exia.components]\nbroken = {value}\n",
               acme_a="class Broken: ...\n", acme_bad="1 / 0\n")  # fmt: skip
    with pytest.raises(exia.InvalidError, match=r"'broken' of acme 1\.0 cannot be") as caught:
        pool.add_entry_point("broken")
    assert words in str(caught.value)
    assert caught.value.__cause__ is not None
    assert [row["name"] for row in exia.components()] == ["broken"]
    assert pool.show() == []


def test_a_distribution_whose_entry_points_cannot_be_read_hides_no_other(
    distribute: Distribute, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    distribute("broken", "1.0", "[exia.components]\nno equals sign\n")
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n")
    assert [row["name"] for row in exia.components()] == ["scaler"]
    assert "broken-1.0.dist-info: its entry points cannot be read" in caplog.text


def test_a_distribution_without_a_name_is_listed_all_the_same(
    pool: exia.Pool, distribute: Distribute
) -> None:
    info = distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n",
                      acme_a="class Scaler: ...\n")  # fmt: skip
    (info / "METADATA").unlink()
    (row,) = exia.components()
    assert (row["name"], row["distribution"]) == ("scaler", None)
    with pytest.raises(exia.NotFoundError, match="of other"):
        pool.add_entry_point("scaler", distribution="other")
    pool.add_entry_point("scaler")


# ---- entry points -------------------------------------------------------------------------------


def test_entry_points_are_listed_with_their_distribution_and_nothing_is_imported(
    distribute: Distribute,
) -> None:
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\nother = acme_a:Other\n"
               "[exia.kits]\nbase = acme_a:fill\n[console_scripts]\nx = acme_a:main\n",
               acme_a="raise AssertionError\n")  # fmt: skip
    row = {"value": "acme_a:Scaler", "distribution": "acme", "version": "1.0"}
    assert exia.components() == [
        {"name": "other"} | row | {"value": "acme_a:Other"},
        {"name": "scaler"} | row,
    ]
    assert exia.kits() == [{"name": "base"} | row | {"value": "acme_a:fill"}]
    assert "acme_a" not in sys.modules


def test_of_two_installations_of_one_distribution_the_first_counts(
    distribute: Distribute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n")
    info = tmp_path / "later" / "ACME-0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.format("ACME", "0.9"))
    (info / "entry_points.txt").write_text("[exia.components]\nscaler = acme_old:Scaler\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later")])
    assert [row["version"] for row in exia.components()] == ["1.0"]


def test_an_entry_point_is_added_by_name_with_options(
    pool: exia.Pool, distribute: Distribute
) -> None:
    distribute("acme", "1.0", "[exia.components]\nscaler = acme_a:Scaler\n",
               acme_a="class Scaler:\n    def __init__(self, by): self.by = by\n")  # fmt: skip
    pool.add_entry_point("scaler", arguments={"by": 3}, max=2)
    pool.add_entry_point("scaler", "twin", arguments={"by": 4}, about="the twin")
    with pool.borrow("scaler") as one, pool.borrow("scaler") as two, pool.borrow("twin") as twin:
        assert (one.by, two.by, twin.by) == (3, 3, 4)
        assert one is not two
    assert pool.show("twin")[0]["about"] == {"title": "the twin"}
    with pytest.raises(exia.ExistsError):
        pool.add_entry_point("scaler", arguments={"by": 3})


# ---- kits ---------------------------------------------------------------------------------------


def test_a_kit_fills_a_pool_however_it_is_named(distribute: Distribute) -> None:
    source = "def fill(pool):\n    pool.add('words', list)\n    pool.add('more', dict)\n"
    distribute("acme", "1.0", "[exia.kits]\nbase = acme_kit:fill\n", acme_kit=source)

    def mine(pool: exia.Pool) -> None:
        pool.add("words", list)
        pool.add("more", dict)

    for kit in ("base", "acme_kit:fill", mine):
        with exia.Pool("demo", kit=kit) as pool:
            assert [row["name"] for row in pool.show()] == ["words", "more"]
    with exia.Pool("demo") as pool:
        assert pool.show() == []


@pytest.mark.parametrize(
    ("kit", "kind", "words"),
    [
        ("nothing", exia.NotFoundError, r"'nothing' in the group exia\.kits"),
        ("no_such_module:fill", ModuleNotFoundError, "no_such_module"),
        ("os:no_such_kit", AttributeError, "no_such_kit"),
        ("os;x:y", exia.InvalidError, "module:Class"),
        ("math:pi", TypeError, "a kit must be a function of a pool"),
        (7, TypeError, "a kit must be a function of a pool"),
        ("", exia.NotFoundError, "''"),
    ],
)
def test_a_kit_that_is_none_is_refused(kit: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        exia.Pool("demo", kit=kit)


def test_a_kit_that_fails_half_way_leaves_no_pool_and_says_why() -> None:
    seen: list[exia.Pool] = []
    ended: list[str] = []

    class Part:
        def close(self) -> None:
            ended.append("part")

    def fill(pool: exia.Pool) -> None:
        seen.append(pool)
        pool.add("part", Part)
        with pool.borrow("part"):
            pass
        pool.add("lent", Part)
        leases.append(pool.borrow("lent"))
        pool.add("part", Part)

    leases: list[Any] = []
    with pytest.raises(exia.ExistsError, match="part") as caught:
        exia.Pool("demo", kit=fill)
    assert ended == ["part"]
    with pytest.raises(exia.ClosedError):
        seen[0].borrow("part")
    leases.pop().close()
    assert ended == ["part", "part"]
    if sys.version_info >= (3, 11):
        assert "in kit" in caught.value.__notes__[0]
