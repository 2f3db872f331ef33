"""Code found by name: entry points of real distributions, kits, modules read again."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import exia

Distribute = Callable[..., Path]
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"


@pytest.fixture
def pool() -> Any:
    with exia.Pool("test") as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of installed modules; what was imported from it is forgotten afterwards."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        del sys.modules[name]


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


# ---- replace ------------------------------------------------------------------------------------


class Old:
    """Old."""


class New:
    """New."""


def test_a_replaced_component_drains_and_tells_who_has_the_old_object(pool: exia.Pool) -> None:
    pool.add("part", Old, max=2)
    first = pool.borrow("part")
    (loan,) = pool.replace("part", New)
    assert loan["where"].split("/")[-1].startswith("test_plugins.py:")
    assert (loan["by"], loan["old"]) == (None, True)
    assert type(first.object) is Old
    with pool.borrow("part") as new:
        assert type(new) is New
        assert [row["old"] for row in pool.loans("part")] == [True, False]
    first.close()
    assert pool.loans("part") == []
    assert pool.show("part")[0]["about"] == {"title": "New."}
    with pool.borrow(New) as new:
        assert type(new) is New
    with pool.borrow(Old) as new:
        assert type(new) is New
    assert pool.show(Old)[0]["name"] == pool.show(New)[0]["name"] == "part"
    pool.replace(Old, Old)
    with pool.borrow(New) as old:
        assert type(old) is Old
        assert len(pool.loans(New)) == 1


def test_a_callable_that_names_two_components_is_refused_also_when_it_was_replaced(
    pool: exia.Pool,
) -> None:
    pool.add("one", Old)
    pool.replace("one", New)
    pool.add("two", Old)
    for ask in (pool.borrow, pool.show, pool.loans, pool.reload):
        with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
            ask(Old)
    with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
        pool.replace(Old, New)
    with pool.borrow(New) as new:
        assert type(new) is New
    pool.replace("two", New)
    with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
        pool.borrow(New)


def test_a_method_of_an_object_names_its_component_after_it_was_replaced(pool: exia.Pool) -> None:
    class Maker:
        def make(self) -> str:
            return "made"

    maker = Maker()
    pool.add("part", maker.make)
    pool.replace("part", New)
    gc.collect()
    with pool.borrow(maker.make) as new:  # another object, which equals the first
        assert type(new) is New


def test_of_a_replaced_class_nothing_is_kept_and_a_class_may_come_back(pool: exia.Pool) -> None:
    def passing() -> type:
        class Passing:
            pass

        return Passing

    seen = []
    pool.add("part", Old)
    pool.add("twin", Old)
    for _ in range(3):
        cls = passing()
        seen.append(weakref.ref(cls))
        pool.replace("part", cls)
        pool.borrow(cls).close()
        del cls
    pool.replace("part", Old)
    with pytest.raises(exia.NotFoundError, match="part, twin: say which"):
        pool.borrow(Old)
    gc.collect()
    assert [ref() for ref in seen] == [None, None, None]


def test_what_is_not_said_stays_as_it_was(pool: exia.Pool) -> None:
    pool.add("need", lambda: "the need")
    pool.add("part", lambda need, a: (need, a), needs=["need"], max=3, arguments={"a": 1},
             about="mine", idle=5, min_idle=1)  # fmt: skip
    pool.replace("part", lambda need, a: [need, a])
    with pool.borrow("part") as part:
        assert part == ["the need", 1]
    (row,) = pool.show("part")
    assert (row["needs"], row["max"], row["about"]) == (["need"], 3, {"title": "mine"})
    pool.replace("part", lambda a: a, needs=(), arguments={"a": 2}, max=1)
    with pool.borrow("part") as part:
        assert part == 2
    (row,) = pool.show("part")
    assert (row["needs"], row["max"], row["about"]) == ([], 1, {"title": "mine"})


def test_what_was_given_once_or_has_changed_since_stays_as_it_was(pool: exia.Pool) -> None:
    arguments = {"a": 1}
    pool.add("need", lambda: "the need")
    pool.add("part", lambda need, a: (need, a), needs=(n for n in ["need"]), arguments=arguments)
    arguments["a"] = 2
    pool.replace("part", lambda need, a: [need, a])
    with pool.borrow("part") as part:
        assert part == ["the need", 1]


@pytest.mark.parametrize(
    "options", [{"needs": None}, {"needs": 0}, {"arguments": 0}, {"about": 0}, {"needs": "need"}]
)
def test_options_of_another_type_are_refused(pool: exia.Pool, options: Any) -> None:
    pool.add("part", Old)
    with pytest.raises(TypeError, match=next(iter(options))):
        pool.replace("part", New, **options)
    with pytest.raises(TypeError, match=next(iter(options))):
        pool.add("other", New, **options)


def test_dependents_are_rebuilt_when_asked(pool: exia.Pool) -> None:
    pool.add("part", Old)
    pool.add("user", lambda part: [part], needs=["part"])
    with pool.borrow("user") as user:
        assert type(user[0]) is Old
    (loan,) = pool.replace("part", New)
    assert loan["by"] == "user"
    with pool.borrow("user") as user:
        assert type(user[0]) is Old
    assert pool.replace("part", New, rebuild=True) == []
    with pool.borrow("user") as user:
        assert type(user[0]) is New


def test_a_replacement_that_fails_leaves_the_old_one(pool: exia.Pool) -> None:
    def fails() -> None:
        raise KeyError("no")

    pool.add("part", Old)
    pool.add("user", lambda part: part, needs=["part"])
    with pytest.raises(KeyError, match="no"):
        pool.replace("part", fails)
    with pytest.raises(exia.CycleError) as caught:
        pool.replace("part", New, needs=["user"])
    assert sorted(map(str, caught.value.cycle)) == ["part", "user"]
    with pytest.raises(exia.NotFoundError, match="nothing"):
        pool.replace("nothing", New)
    with pytest.raises(exia.InvalidError, match="min_idle"):
        pool.replace("part", New, min_idle=5)
    with pytest.raises(exia.InvalidError, match=r"made by Python: C cannot replace it"):
        pool.replace("part", 0x1000)
    with pytest.raises(TypeError, match="rebuild"):
        pool.replace("part", New, rebuild="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        pool.replace("part", New, colour=1)  # type: ignore[call-arg]
    assert len(pool._shelf.makers["part"]) == 1  # C has let go of all others
    with pool.borrow(Old) as part:
        assert type(part) is Old


@pytest.mark.parametrize("limit", ["idle", "life", "overdue"])
def test_a_bad_limit_is_refused(pool: exia.Pool, limit: str) -> None:
    with pytest.raises(exia.InvalidError, match=f"{limit} must be 0 or more"):
        pool.add("a", Old, **{limit: -1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=limit):
        pool.add("a", Old, **{limit: "1"})  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError, match=limit):
        pool.add("a", Old, **{limit: float("nan")})  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError, match="min_idle"):
        pool.add("a", Old, max=2, min_idle=3)
    assert pool.show() == []
    pool.add("a", Old, **{limit: float("inf")})  # type: ignore[arg-type]


def test_maintain_builds_what_should_be_ready_and_ends_what_is_idle(pool: exia.Pool) -> None:
    pool.add("ready", Old, max=4, min_idle=2)
    pool.add("brief", Old, max=4, idle=0)
    with pool.borrow("brief"), pool.borrow("brief"):
        pass
    for _ in range(1000):
        pool.maintain()
        built = {row["name"]: row["built"] for row in pool.stats()}
        if built["brief"] == 0:
            break
    assert built == {"ready": 2, "brief": 0}


def test_maintain_logs_what_fails_and_lets_ctrl_c_through(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    raises: list[BaseException] = [ZeroDivisionError("bad"), KeyboardInterrupt()]

    def make() -> None:
        raise raises.pop(0)

    pool.add("part", make, max=1, min_idle=1)
    pool.maintain()
    assert "bad" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        pool.maintain()


def test_an_interrupt_while_the_old_object_is_closed_leaves_the_new_one_in_place(
    pool: exia.Pool,
) -> None:
    class Old:
        def close(self) -> None:
            raise KeyboardInterrupt

    class New:
        pass

    pool.add("a", Old)
    pool.borrow("a").close()
    with pytest.raises(KeyboardInterrupt):
        pool.replace("a", New)
    for what in ("a", New):
        with pool.borrow(what) as made:
            assert isinstance(made, New)
    pool.clear()
    with pool.borrow(New) as made:
        assert isinstance(made, New)


def test_an_overdue_loan_is_told_with_its_line(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    pool.add("part", Old, max=1, overdue=0)
    with pool.borrow("part"):
        for _ in range(1000):
            pool.maintain()
            if "test_plugins.py" in caplog.text:
                break
    assert "test_plugins.py" in caplog.text


# ---- modules read again -------------------------------------------------------------------------

FIRST = "SCALE = 1\nclass Scaler:\n    '''First.'''\n    def value(self): return SCALE\n"
SECOND = FIRST.replace("1", "2").replace("First", "Second")


@pytest.fixture
def source(site: Path) -> Path:
    path = site / "part_a.py"
    path.write_text(FIRST)
    importlib.invalidate_caches()
    return path


@pytest.mark.parametrize("by_text", [True, False])
def test_a_module_is_read_again_and_old_loans_drain(
    pool: exia.Pool, source: Path, by_text: bool
) -> None:
    import part_a  # type: ignore[import-not-found]

    pool.add("scaler", "part_a:Scaler" if by_text else part_a.Scaler, max=1)
    lease = pool.borrow("scaler")
    source.write_text(SECOND)  # within the same second, and as long as before
    (loan,) = pool.reload("scaler")
    assert loan["old"]
    with pool.borrow("scaler") as new:
        assert new.value() == 2
        assert lease.object.value() == 1  # the old code has its own module still
    lease.close()
    assert pool.show("scaler")[0]["about"] == {"title": "Second."}
    assert sys.modules["part_a"].SCALE == 2
    source.write_text(FIRST)
    assert pool.reload("scaler") == []
    with pool.borrow("scaler") as again:
        assert again.value() == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SCALE = 3\n1 / 0\n", ZeroDivisionError),
        ("SCALE = 3\nclass Scaler(\n", SyntaxError),
        ("SCALE = 3\nimport no_such_module\n", ModuleNotFoundError),
        ("SCALE = 3\n", AttributeError),
        ("SCALE = 3\nScaler = 7\n", TypeError),
        ("SCALE = 3\nclass Scaler:\n    def __init__(self): raise KeyError\n", KeyError),
        ("SCALE = 3\nraise SystemExit\n", SystemExit),
        (None, exia.InvalidError),
    ],
)
def test_a_module_that_fails_leaves_the_old_one_and_its_namespace(
    pool: exia.Pool, source: Path, text: str | None, kind: type[BaseException]
) -> None:
    pool.add("scaler", "part_a:Scaler")
    import part_a

    before = dict(vars(part_a))
    if text is None:
        source.unlink()
    else:
        source.write_text(text)
    with pytest.raises(kind):
        pool.reload("scaler")
    assert sys.modules["part_a"] is part_a
    assert vars(part_a) == before
    with pool.borrow("scaler") as scaler:
        assert type(scaler) is part_a.Scaler
        assert scaler.value() == 1
    source.write_text(SECOND)
    pool.reload("scaler")
    with pool.borrow("scaler") as scaler:
        assert scaler.value() == 2


def test_a_module_in_a_package_is_read_again_in_its_place(pool: exia.Pool, site: Path) -> None:
    (site / "bag").mkdir()
    (site / "bag" / "__init__.py").write_text("from bag import inner\nclass Whole: N = 1\n")
    (site / "bag" / "inner.py").write_text("class Part: N = 1\n")
    importlib.invalidate_caches()
    pool.add("part", "bag.inner:Part")
    pool.add("whole", "bag:Whole")
    bag, inner = sys.modules["bag"], sys.modules["bag.inner"]
    (site / "bag" / "inner.py").write_text("class Part: N = 2\n")
    pool.reload("part")
    assert sys.modules["bag"] is bag
    assert bag.inner is sys.modules["bag.inner"] is not inner
    (site / "bag" / "inner.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        pool.reload("part")
    assert bag.inner is sys.modules["bag.inner"]
    assert bag.inner.Part.N == 2
    (site / "bag" / "__init__.py").write_text("class Whole: N = 3\n")
    pool.reload("whole")
    assert sys.modules["bag"].inner is bag.inner
    with pool.borrow("whole") as whole, pool.borrow("part") as part:
        assert (whole.N, part.N) == (3, 2)


def test_two_components_of_one_module_are_reloaded_one_by_one(
    pool: exia.Pool, source: Path
) -> None:
    source.write_text("class A: N = 1\nclass B: N = 1\n")
    pool.add("a", "part_a:A")
    pool.add("b", "part_a:B")
    source.write_text("class A: N = 2\nclass B: N = 2\n")
    pool.reload("a")
    with pool.borrow("a") as a, pool.borrow("b") as b:
        assert (a.N, b.N) == (2, 1)
    pool.reload("b")
    with pool.borrow("b") as b:
        assert b.N == 2


def test_a_ctrl_c_while_the_old_object_goes_leaves_the_new_module_in_place(
    pool: exia.Pool, source: Path
) -> None:
    source.write_text("class A:\n    N = 1\n    def close(self): raise KeyboardInterrupt\n")
    pool.add("a", "part_a:A")
    with pool.borrow("a") as a:
        assert a.N == 1
    source.write_text("class A: N = 2\n")
    with pytest.raises(KeyboardInterrupt):
        pool.reload("a")
    with pool.borrow("a") as a:
        assert (a.N, type(a)) == (2, sys.modules["part_a"].A)


def test_what_has_no_source_cannot_be_reloaded(pool: exia.Pool) -> None:
    class Local: ...

    pool.add("local", Local)
    pool.add("lambda", lambda: 1)
    pool.add("builtin", list)
    pool.add("compiled", "math:factorial", arguments={})
    for name in ("local", "lambda", "builtin", "compiled"):
        with pytest.raises(exia.InvalidError, match=rf"'{name}'.*replace\(\)"):
            pool.reload(name)
    with pytest.raises(exia.NotFoundError, match="nothing"):
        pool.reload("nothing")


def test_a_component_is_reloaded_while_threads_use_it(pool: exia.Pool, source: Path) -> None:
    pool.add("scaler", "part_a:Scaler", max=2)
    stop, seen, errors = threading.Event(), set(), []

    def work() -> None:
        try:
            while not stop.is_set():
                with pool.borrow("scaler", timeout=60) as scaler:
                    seen.add(scaler.value())
                from part_a import Scaler  # the old one, or all of the new one

                seen.add(Scaler().value())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    modules = []
    for i in range(10):
        source.write_text(SECOND if i % 2 == 0 else FIRST)
        modules.append(weakref.ref(sys.modules["part_a"]))
        pool.reload("scaler")
        with pool.borrow("scaler", timeout=60) as scaler:
            assert scaler.value() == 2 - i % 2
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert seen <= {1, 2}
    assert pool.loans("scaler") == []
    gc.collect()
    assert not any(module() for module in modules)  # old code goes with its last object
