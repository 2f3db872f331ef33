"""What vedapkg packs, other readers must read: ours in Python, GNU tar, bsdtar."""

import json
import os
import pathlib
import random
import subprocess
import tarfile

import pytest
import veda_reader
import veda_signature

ROOT = pathlib.Path(__file__).resolve().parents[1]
VEDAPKG = os.environ.get("VEDAPKG") or str(ROOT / "build" / "vedapkg")
LONG = b"n" * 120
NAMES = [b"empty", b"with space", b"new\nline", "ünï".encode(), b"tilde~", b"-x", b"a%41", b"c[x]"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Every kind of member, and more than one frame."""
    top = os.fsencode(tmp_path_factory.mktemp("workspace"))
    os.makedirs(top + b"/deep/" + LONG + b"/" + LONG)
    os.makedirs(top + b"/empty dir")
    contents = {}
    for folder in (b"", b"deep/" + LONG + b"/" + LONG + b"/"):
        for name in NAMES + [b"\xff\xfe"]:
            contents[folder + name] = name if folder else b""
    contents[b"noise"] = random.Random(1).randbytes(5 << 20)
    contents[b"lines"] = b"".join(b"%d\n" % i for i in range(300_000))
    contents[b"veda.json"] = json.dumps({"format": 1, "name": "odd", "version": "1.0"}).encode()
    for name, content in contents.items():
        with open(top + b"/" + name, "wb") as file:
            file.write(content)
    os.truncate(top + b"/empty", 3_000_001)
    os.chmod(top + b"/lines", 0o750)
    os.link(top + b"/lines", top + b"/another")
    os.symlink(b"deep/" + LONG + b"/" + LONG + b"/with space", top + b"/long link")
    os.symlink(b"../lines", top + b"/deep/link")
    return top


@pytest.fixture(scope="module")
def package(workspace, tmp_path_factory):
    file = tmp_path_factory.mktemp("package") / "odd.veda"
    done = subprocess.run([VEDAPKG, "pack", workspace, "-o", file], capture_output=True, text=True)
    assert done.returncode == 0, done
    return file


def on_disk(top):
    """The members of a directory as the reader gives them."""
    found, first = {}, {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, top)
            mode = os.lstat(path).st_mode & 0o777
            if os.path.islink(path):
                found[inside] = ("l", 0o777, os.readlink(path))
            elif os.path.isdir(path):
                found[inside] = ("d", mode & 0o755, b"")
            else:
                with open(path, "rb") as file:
                    found[inside] = ("f", mode & 0o755, file.read())
                first.setdefault(os.lstat(path).st_ino, []).append(inside)
    for names in first.values():
        for other in sorted(names)[1:]:
            found[other] = ("h", found[other][1], min(names))
    return found


def test_a_second_reader_sees_what_was_packed(workspace, package):
    found = veda_reader.read(package)
    assert found.members == on_disk(workspace)
    assert found.metadata["manifest"]["name"] == "odd"
    assert found.metadata["frames"]["data"] > 3
    assert found.signature is None


@pytest.mark.parametrize("name", ["least", "members", "frames"])
def test_a_second_reader_reads_what_the_first_writer_made(name, tmp_path):
    file = ROOT / "tests" / "golden" / "package-1" / f"{name}.veda"
    members = veda_reader.read(file).members
    done = subprocess.run(
        [VEDAPKG, "unpack", file, tmp_path / "to"], capture_output=True, text=True
    )
    assert done.returncode == 0, done
    assert members == on_disk(os.fsencode(tmp_path / "to"))


def test_a_second_reader_refuses_what_was_changed(package, tmp_path):
    good = package.read_bytes()
    chance = random.Random(2)
    for at in [chance.randrange(len(good)) for _ in range(5)] + [len(good) - 1, 600]:
        bad = bytearray(good)
        bad[at] ^= 0x10
        (tmp_path / "bad.veda").write_bytes(bad)
        with pytest.raises(ValueError):
            veda_reader.read(tmp_path / "bad.veda")


def test_a_second_reader_checks_signatures_of_ours_and_of_minisign(package, tmp_path):
    def run(*words):
        environment = {**os.environ, "EXIA_HOME": str(tmp_path / "home")}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done
        return done.stdout.strip()

    key = run(VEDAPKG, "key", "new", "k.pem")
    run(VEDAPKG, "sign", package, "--key", "k.pem", "--comment", "geprüft", "-o", "signed.veda")
    signed = veda_reader.read(tmp_path / "signed.veda")
    assert signed[:3] == veda_reader.read(package)[:3]
    veda_signature.check(signed.signature, signed.text, key)

    (tmp_path / "text").write_bytes(signed.text)
    run("minisign", "-G", "-W", "-p", "other.pub", "-s", "other.sec")
    run("minisign", "-S", "-s", "other.sec", "-m", "text")
    run("minisign", "-S", "-l", "-s", "other.sec", "-m", "text", "-x", "older")
    other = (tmp_path / "other.pub").read_text().splitlines()[1]
    usual = (tmp_path / "text.minisig").read_bytes()
    veda_signature.check(usual, signed.text, other)
    veda_signature.check((tmp_path / "older").read_bytes(), signed.text, other)

    for signature, text, by in (
        (signed.signature, signed.text, other),
        (signed.signature, signed.text + b" ", key),
        (signed.signature.replace("geprüft".encode(), b"gepruft"), signed.text, key),
        (usual, signed.text, key),
        (usual[:-1] + b"x", signed.text, other),
    ):
        with pytest.raises(ValueError):
            veda_signature.check(signature, text, by)


@pytest.mark.parametrize("command", [["tar", "--zstd"], ["bsdtar"]])
def test_ordinary_tools_list_and_extract_it_without_a_word(command, workspace, package, tmp_path):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def run(*words):
        done = subprocess.run([*command, *words], capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout

    listing = run("-tf", str(package))
    assert len(listing.splitlines()) == len(on_disk(workspace)) + 2
    run("-tvf", str(package))
    run("-xf", str(package), "-C", str(tmp_path))
    extracted = on_disk(os.fsencode(tmp_path))
    assert extracted.pop(b"VEDA")[0] == "d"
    assert extracted.pop(b"VEDA/RECORD") and extracted.pop(b"VEDA/METADATA.json")
    assert extracted == on_disk(workspace)


def test_pythons_own_tar_reader_agrees(package):
    plain = subprocess.run(["zstd", "-dc", package], capture_output=True, check=True).stdout
    (package.parent / "plain.tar").write_bytes(plain)
    with tarfile.open(package.parent / "plain.tar", errors="surrogateescape") as tar:
        names = [os.fsencode(member.name) for member in tar]
    assert names[:-2] == list(veda_reader.read(package).members)


def test_the_tail_is_readable_as_it_is(package):
    """METADATA.json is stored, so that a look at the end of the file shows it."""
    assert b'"manifest":{"format":1,"name":"odd"' in package.read_bytes()[-4096:]
