"""A workspace becomes a package file, which is looked into, unpacked and signed."""

import json
import shutil
import subprocess

import pytest


def test_new_prints_where_and_keeps_what_is_there(tool):
    assert tool.text("new", "hello") == "hello"
    manifest = (tool.directory / "hello" / "veda.json").read_text()
    assert json.loads(manifest)["name"] == "hello"
    tool.fails("new", "hello", says="veda.json")
    assert (tool.directory / "hello" / "veda.json").read_text() == manifest
    tool.fails("new", "a/b")
    tool.fails("new", "Upper")
    tool.fails("new", "x" * 10000)
    tool.fails("new", "")


def test_add_prints_what_it_added_and_where(tool):
    tool.run("new", "hello", "space")
    space = tool.directory / "space"
    (tool.directory / "a.py").write_text("a")
    (tool.directory / "b.py").write_text("b")
    assert tool.text("add", "a.py", "b.py", "-C", "space") == "code/a.py\ncode/b.py"
    done = tool.run("add", "../a.py", "--as", "doc", "--json", cwd=space)
    assert json.loads(done.stdout) == {"path": "doc/a.py", "kind": "doc"}
    tool.fails("add", "a.py", "-C", "space", says="a.py")
    tool.fails("add", "nothing", "-C", "space", says="nothing")
    tool.fails("add", "a.py", "--as", "spice", "-C", "space", says="spice")
    tool.fails("add", "a.py", says="veda.json")
    tool.fails("add", "nothing@1", "--as", "model", "-C", "space", says="models")
    tool.run("init")
    tool.fails("add", "nothing@1", "--as", "model", "-C", "space", says="nothing")


def test_add_names_entry_points(tool):
    tool.run("new", "hello", "space")
    (tool.directory / "a.py").write_text("a")
    names = ("--entry", "greet=a:greet", "--entry", "other=a.b:C.d")
    assert tool.text("add", "a.py", *names, "-C", "space") == "code/a.py"
    manifest = tool.directory / "space" / "veda.json"
    assert json.loads(manifest.read_text())["entry_points"] == {
        "greet": "a:greet",
        "other": "a.b:C.d",
    }
    assert tool.json("add", "--entry", "greet=a:hello", "-C", "space") == [
        {"entry": "greet", "object": "a:hello"}
    ]
    before = manifest.read_bytes()
    assert json.loads(before)["entry_points"]["greet"] == "a:hello"
    tool.fails("add", "--entry", "greet=a", "-C", "space", says="module:object")
    tool.fails("add", "--entry", "a/b=a:b", "-C", "space", says="a/b")
    tool.fails("add", "--entry", "greet=a:b", says="veda.json")
    tool.fails("add", "--entry", "greet", "-C", "space", code=2, says="NAME=MODULE:OBJECT")
    tool.fails("add", "-C", "space", code=2, says="PATH")
    assert manifest.read_bytes() == before


def test_a_model_is_added_out_of_the_library(tool):
    (tool.directory / "weights").write_bytes(b"0123")
    tool.run("model", "put", "digits", "weights", "--alias", "best-one")
    tool.run("new", "hello", "space")
    added = tool.text("add", "digits@best-one", "--as", "model", "-C", "space")
    assert added == "model/digits"
    model = tool.directory / "space" / "model" / "digits"
    assert (model / "model").read_bytes() == b"0123"
    facts = json.loads((model / "version.json").read_text())["version"]
    assert (facts["name"], facts["version"]) == ("digits", 1)


def test_the_same_workspace_gives_the_same_bytes(tool):
    space = tool.workspace()
    assert tool.text("pack", space, "-o", "a.veda") == "a.veda"
    assert tool.text("pack", "-o", "b.veda", "--threads", "1", "--", space) == "b.veda"
    a, b = (tool.directory / name for name in ("a.veda", "b.veda"))
    assert a.read_bytes() == b.read_bytes()


def test_pack_refuses_what_is_no_workspace(tool):
    tool.fails("pack", says="veda.json")
    tool.fails("pack", "nothing", says="nothing")
    space = tool.workspace()
    tool.fails("pack", space, "-o", "no/such/dir/x.veda", says="no/such/dir")
    tool.fails("pack", space, "-o", "-", code=2, says="-o needs a file")
    for level in ("0", "20", "x", "", "3.5", "99999999999999999999"):
        tool.fails("pack", space, "--level", level, code=2, says="--level")
    (space / "veda.json").write_text("{")
    tool.fails("pack", space, says="veda.json")
    assert list(tool.directory.glob("*.veda")) == []


def test_a_package_that_names_no_platform_is_for_any(tool):
    workspace = tool.directory / "bare"
    workspace.mkdir()
    (workspace / "veda.json").write_text('{"format": 1, "name": "bare", "version": "1"}')
    file = tool.text("pack", "bare")
    assert file == "bare-1-any.veda"
    assert tool.json("inspect", file)[0]["package"] == "bare@1#any"


def test_inspect_shows_what_a_package_is(tool):
    file = tool.package(description="says hello", entry_points={"greet": "hello:greet"})
    page = tool.text("inspect", file)
    for text in ("hello", "0.1.0", "any", "says hello", "greet=hello:greet", "code/hello.py"):
        assert text in page
    (facts,) = tool.json("inspect", file)
    assert facts["package"] == "hello@0.1.0#any"
    assert facts["manifest"]["entry_points"] == {"greet": "hello:greet"}
    rows = {row["path"]: row for row in tool.json("inspect", file, "--files")}
    assert rows["code/hello.py"]["size"] == (tool.directory / "hello.py").stat().st_size
    assert rows["code/hello.py"]["type"] == "file" and len(rows["code/hello.py"]["sha256"]) == 64
    assert "code/hello.py" in tool.text("inspect", file, "--files")
    assert tool.text("verify", file) == "" == tool.text("verify", file, "--quick")


def test_what_is_in_an_archive_is_added_as_a_component(tool):
    directory = tool.workspace()
    (tool.directory / "notes.md").write_text("read me")
    subprocess.run(["tar", "-czf", "notes.tar.gz", "./notes.md"], cwd=tool.directory, check=True)
    rows = tool.json("add", "notes.tar.gz", "--unpack", "-C", directory)
    assert rows == [{"path": "doc/notes", "kind": "doc"}]
    assert (directory / "doc" / "notes" / "notes.md").read_text() == "read me"
    tool.fails("add", "notes.tar.gz", "--unpack", "-C", directory, says="there already")
    tool.fails("add", "notes.md", "--unpack", "-C", directory, says="is no .tar")
    tool.fails("verify", "notes.tar.gz", says="vedapkg add --unpack")


def test_unpack_fills_a_directory_whole_or_not_at_all(tool):
    file = tool.package()
    assert tool.text("unpack", file) == "hello-0.1.0-any"
    out = tool.directory / "hello-0.1.0-any"
    assert (out / "code" / "hello.py").read_text() == (tool.directory / "hello.py").read_text()
    tool.fails("unpack", file, says="hello-0.1.0-any")
    tool.run("unpack", file, "part", "--pattern", "code/*")
    assert [p.name for p in (tool.directory / "part").rglob("*") if p.is_file()] == ["hello.py"]
    tool.fails("unpack", file, "none", "--pattern", "nothing", says="nothing")
    assert not (tool.directory / "none").exists()
    shutil.copy(file, tool.directory / "odd")
    tool.fails("unpack", "odd", code=2, says="DIR")
    tool.run("unpack", "odd", "from-odd")


@pytest.mark.parametrize("words", [("inspect",), ("verify",), ("unpack",), ("register",)])
def test_a_file_that_is_no_good_package_is_refused(words, tool):
    good = tool.package().read_bytes()
    middle = len(good) // 2
    bad = {
        "empty": b"",
        "foreign": b"this is no package at all\n" * 100,
        "truncated": good[:-10],
        "half": good[:middle],
        "index": good[:-20] + bytes([good[-20] ^ 1]) + good[-19:],
    }
    if words != ("inspect",):  # which does not read the payload
        bad["flipped"] = good[:20] + bytes([good[20] ^ 0x10]) + good[21:]
    for name, data in bad.items():
        (tool.directory / f"{name}.veda").write_bytes(data)
        assert f"{name}.veda" in tool.fails(*words, f"{name}.veda")
        assert not (tool.directory / name).exists()
    tool.fails(*words, "absent.veda", says="absent.veda")
    more = ("out",) if words == ("unpack",) else ()
    tool.fails(*words, tool.directory, *more)
    tool.fails(*words, "", *more)
    assert tool.json("query") == []


def test_tar_opens_a_package(tool):
    file = tool.package()
    done = subprocess.run(["tar", "--zstd", "-tf", file], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "code/hello.py" in done.stdout.split()


# ---- signatures -----------------------------------------------------------------------------


def test_a_package_is_signed_and_its_signer_told(tool):
    file = tool.package()
    tool.fails("sign", file, says="key.p")
    tool.fails("sign", "none.veda", says="none.veda")
    tool.run("key", "new")
    assert "not signed" in tool.run("verify", file).stderr
    tool.fails("verify", file, "--require-signature", says="is not signed")
    assert tool.json("verify", file)[0]["signature"] is None

    assert tool.text("sign", file, "-o", "signed.veda", "--comment", "checked") == "signed.veda"
    assert tool.json("inspect", file)[0]["signature"] is None
    assert "which is not trusted" in tool.run("verify", "signed.veda").stderr
    tool.fails("verify", "signed.veda", "--require-signature", says="which is not trusted")
    tool.run("key", "trust", "me", tool.home / "key.pub")
    assert "signed by me" in tool.run("verify", "signed.veda", "--require-signature").stderr
    assert "signed by me" in tool.text("inspect", "signed.veda")
    row = tool.json("inspect", "signed.veda")[0]
    assert (row["signature"]["state"], row["signature"]["comment"]) == ("good", "checked")
    assert row["digest"] == tool.json("inspect", file)[0]["digest"]
    assert tool.json("sign", file)[0]["signature"]["comment"] == "hello@0.1.0#any"

    tool.run("unpack", file, "strictly", "--require-signature")

    tool.run("key", "revoke", "me", "-m", "lost")
    assert "was revoked: lost" in tool.run("verify", file).stderr
    for words in (("verify", file), ("unpack", file, "not")):
        tool.fails(*words, "--require-signature", says="was revoked: lost")
    assert not (tool.directory / "not").exists()


def test_what_is_packed_and_signed_at_once_is_what_is_signed_later(tool):
    file = tool.package()
    tool.run("key", "new", "k.pem", "--password-stdin", input="secret\n")
    pack = ("pack", "hello.workspace", "-o", "once.veda", "--sign", "--key", "k.pem")
    tool.fails("pack", "hello.workspace", "--key", "k.pem", code=2, says="--sign")
    tool.fails(*pack, says="--password-stdin")
    assert not (tool.directory / "once.veda").exists()
    tool.run(*pack, "--password-stdin", input="secret\n")
    tool.run("sign", file, "--key", "k.pem", "--password-stdin", input="secret\n")
    assert (tool.directory / "once.veda").read_bytes() == (tool.directory / file).read_bytes()


def test_another_policy_is_named_by_its_file(tool):
    file = tool.package()
    tool.run("key", "new")
    tool.run("sign", file)
    (tool.directory / "other.json").write_text('{"format": 1, "require_signature": true}')
    for words in (("verify", file), ("unpack", file, "to")):
        tool.run(*words)
        tool.fails(*words, "--trust", "other.json", says="not trusted")
    tool.run("key", "trust", "me", tool.home / "key.pub", "--trust", "other.json")
    tool.run("verify", file, "--trust", "other.json")
    assert tool.json("inspect", file, "--trust", "other.json")[0]["signature"]["by"] == "me"


def test_minisign_checks_our_signature_and_we_take_its(tool):
    file = tool.package()

    def minisign(*words):
        done = subprocess.run(["minisign", *words], cwd=tool.directory, capture_output=True)
        assert done.returncode == 0, done

    tool.run("key", "new", "k.pem")
    tool.run("sign", file, "--key", "k.pem", "-o", "ours.veda")
    subprocess.run(["tar", "--zstd", "-xf", "ours.veda", "VEDA"], cwd=tool.directory, check=True)
    minisign("-V", "-H", "-m", "VEDA/METADATA.json", "-x", "VEDA/SIGNATURE", "-p", "k.pub")

    minisign("-G", "-W", "-p", "mini.pub", "-s", "mini.sec")
    minisign("-S", "-s", "mini.sec", "-m", "VEDA/METADATA.json", "-x", "theirs")
    tool.fails("sign", file, "--signature", "theirs", says="not trusted")
    tool.fails("sign", file, "--signature", "none", says="none")
    tool.fails("sign", file, "--signature", file, says="no signature")
    tool.run("key", "trust", "mini", "mini.pub")
    tool.run("sign", file, "--signature", "theirs")
    assert "signed by mini" in tool.run("verify", file, "--require-signature").stderr
    tool.package("other")
    tool.fails("sign", "other-0.1.0-any.veda", "--signature", "theirs", says="not of this package")
