"""Bundles from a shell: to a site without a network and back again."""

import shutil
import tarfile


def with_two(tool):
    """Two packages, of which the second needs the first."""
    for name, needs in (("base", []), ("app", ["base >= 0.1"])):
        tool.package(name, dependencies=needs)
        tool.run("register", f"{name}-0.1.0-any.veda")
    return tool


def test_a_bundle_goes_to_a_site_without_a_network_and_installs_there(tool):
    with_two(tool)
    rows = tool.json("export", "app", "-o", "b.tar")
    assert [(row["name"], row["state"]) for row in rows] == [
        ("base", "exported"),
        ("app", "exported"),
    ]
    with tarfile.open(tool.directory / "b.tar") as archive:
        names = archive.getnames()
    assert names == ["bundle.json", "base-0.1.0-any.veda", "app-0.1.0-any.veda"]
    there = tool.other_home("there")
    assert [row["state"] for row in there.json("import", "b.tar")] == ["imported"] * 2
    assert [row["state"] for row in there.json("import", "b.tar")] == ["there already"] * 2
    there.run("install", "app")
    assert [row["name"] for row in there.json("list")] == ["app", "base"]


def test_a_later_bundle_leaves_out_what_is_there(tool):
    with_two(tool)
    there = tool.other_home("there")
    tool.run("export", "base", "-o", "first.tar")
    there.run("import", "first.tar")
    have = there.text("have")
    (line,) = there.json("have")
    assert have == f"{line['package']} {line['digest']}"
    (tool.directory / "have.txt").write_text(have + "\n")
    rows = tool.json("export", "app", "-o", "second.tar", "--have", "have.txt")
    assert {row["name"]: row["state"] for row in rows} == {"app": "exported", "base": "left out"}
    piped = tool.run("export", "app", "-o", "third.tar", "--have", "-", input=have)
    assert "left out" in piped.stdout
    for name in ("second.tar", "third.tar"):
        there.run("import", name)
    assert tool.other_home("other").run("import", "second.tar", code=1).stderr.count("base") == 1


def test_a_package_alone_and_what_is_missing_from_a_remote(tool):
    with_two(tool)
    depot = ("--records", f"sqlite:{tool.directory}/d.db", "--packages", f"file:{tool.directory}/d")
    tool.run("remote", "add", "depot", *depot)
    (row,) = tool.json("export", "app", "-o", "b.tar", "--no-deps")
    assert row["name"] == "app"
    for name in ("base", "app"):
        tool.run("push", name, "--to", "depot")
    other = tool.other_home("other")
    other.run("remote", "add", "depot", *depot)
    other.run("export", "app", "-o", "c.tar", code=1)
    assert len(other.json("export", "app", "-o", "c.tar", "--from", "depot")) == 2
    assert {row["name"] for row in other.json("query")} == {"app", "base"}


def test_a_bundle_is_made_for_other_platforms(tool):
    for platform in ("linux_x86_64", "linux_aarch64", "linux_other"):
        tool.run("register", tool.package("lib", platform=platform))
        shutil.rmtree(tool.directory / "lib.workspace")
    tool.run("register", tool.package("top", dependencies=["lib"]))
    words = ("export", "top", "-o", "b.tar", "--platform", "linux_aarch64")
    rows = tool.json(*words)
    assert [(row["name"], row["tag"]) for row in rows] == [("lib", "linux_aarch64"), ("top", "any")]
    rows = tool.json(*words, "--platform", "linux_other")
    assert {row["tag"] for row in rows} == {"any", "linux_aarch64", "linux_other"}
    tool.fails(*words, "--platform", "linux_none", says="for linux_none: top@")
    tool.fails(*words, "--platform", "No", says="platform tag")


def test_bad_input_is_told(tool):
    with_two(tool)
    assert "needs a file" in tool.run("export", "app", "-o", "-", code=2).stderr
    tool.run("export", "app", code=2)
    tool.run("export", "-o", "b.tar", code=2)
    assert "nobody" in tool.run("export", "nobody", "-o", "b.tar", code=1).stderr
    (tool.directory / "nul").write_bytes(b"a\0b")
    assert "no list" in tool.run("export", "app", "-o", "b.tar", "--have", "nul", code=1).stderr
    tool.run("export", "app", "-o", "b.tar", "--have", "none", code=1)
    assert not (tool.directory / "b.tar").exists()
    said = tool.run("import", "app-0.1.0-any.veda", code=1).stderr
    assert "no bundle" in said and said.count("\n") == 1
    tool.run("import", "none.tar", code=1)


def test_facts_are_replaced_or_merged(tool):
    with_two(tool)
    tool.run("update", "app", "stage=test", "owner=me")
    tool.run("update", "app", "stage=prod", "owner=null", "--merge")
    (row,) = tool.json("query", "'base' in dependencies")
    assert row["facts"] == {"stage": "prod"} and row["latest"] is True
