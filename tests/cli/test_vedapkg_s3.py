"""Models and packages with their bytes on a real server: EXIA_TEST_S3_URL, as `make test-services` sets it."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import exia

SERVER = os.environ.get("EXIA_TEST_S3_URL")
pytestmark = pytest.mark.skipif(
    SERVER is None, reason="EXIA_TEST_S3_URL is not set: make test-services sets it"
)
SERVED = os.environ.get("EXIA_TEST_S3_DIRECTORY", "")  # of the server, with its data
LARGE = 3 << 20  # bytes


@pytest.fixture
def bucket():
    """A prefix of the bucket that nobody used before."""
    return f"{SERVER}/{secrets.token_hex(8)}"


@pytest.fixture
def home(tool, monkeypatch):
    """What this process does happens in the tool's home, too."""
    monkeypatch.setenv("EXIA_HOME", str(tool.home))
    monkeypatch.delenv("EXIA_CACHE_SIZE", raising=False)
    return tool.home


def open_library(directory, bucket, **options):
    return exia.Library(f"sqlite:{directory}/catalog.db", blobs=bucket + "/models", **options)


@pytest.fixture
def library(tool, home, bucket):
    with open_library(tool.directory, bucket) as opened:
        yield opened


def weights(seed, size=LARGE):
    return np.random.default_rng(seed).standard_normal(size // 4, dtype=np.float32)


# ---- models: what goes wrong ------------------------------------------------------------------


def test_a_library_is_refused_with_the_wrong_key_and_the_secret_is_not_told(tool, home, bucket):
    wrong = bucket.replace("exiasecret", "nosuchsecret")
    with pytest.raises(exia.DeniedError) as caught:
        open_library(tool.directory, wrong)
    assert "nosuchsecret" not in str(caught.value)
    url = ("--library", f"sqlite:{tool.directory}/catalog.db", "--blobs", wrong)
    assert "nosuchsecret" not in tool.fails("model", "ls", *url)


def test_blobs_of_another_library_are_refused(tool, home, bucket, library):
    (tool.directory / "other").mkdir()
    with pytest.raises(exia.ConflictError, match="another library"):
        open_library(tool.directory / "other", bucket)


def test_an_object_that_was_altered_or_removed_is_told_and_fsck_names_it(tool, home, library):
    library.write("m", {"w": weights(1)})
    library.write("m", {"w": weights(2)})
    assert library.fsck().totals["errors"] == 0
    objects = sorted(Path(os.environ["EXIA_TEST_S3_DIRECTORY"], "data").rglob("sha256/*/*"))
    mine = [path for path in objects if path.is_file() and path.stat().st_size > LARGE]
    if not mine:
        pytest.skip("this server does not keep objects as files")
    newest = max(mine, key=lambda path: path.stat().st_mtime_ns)
    data = newest.read_bytes()
    newest.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(exia.CorruptError):
        library.open("m@2")
    rows = library.fsck()
    assert rows.totals["errors"] == 1 and rows[0]["version"] == 2
    newest.unlink()
    with pytest.raises(exia.CorruptError, match="gone"):
        library.open("m@2")
    assert np.array_equal(library.read("m@1")["w"], weights(1))


# ---- models: the main road --------------------------------------------------------------------


def test_models_are_written_read_found_and_moved(tool, home, library):
    for seed in (1, 2, 3):
        library.write("m", {"w": weights(seed)}, metrics={"auc": seed / 4}, alias="live")
    library.write("small", {"w": np.arange(3)})
    assert [row["version"] for row in library.search("metrics.auc > 0.3 and name = 'm'")] == [3, 2]
    assert np.array_equal(library.read("m@live")["w"], weights(3))
    library.rollback("m", "live")
    assert np.array_equal(library.read("m@live")["w"], weights(2))
    library.alias("m", "live", 1, expect=2)
    assert library.open("m@live").version == 1
    assert [row["version"] for row in library.versions("m")] == [3, 2, 1]
    assert len(library.history("m", "live")) == 5


def test_a_model_is_mapped_from_the_cache_and_comes_once(tool, home, bucket, library):
    library.write("m", {"w": weights(1)})
    with library.open("m") as model:
        path = model.path
        assert path.parent == home / "cache" / "blobs" and path.stat().st_size > LARGE
        assert np.array_equal(model.tensors["w"], weights(1))
        model.tensors["w"][0] = 0  # this mapping only
    entered = path.stat().st_mtime_ns
    with library.open("m") as model:
        assert model.path.stat().st_mtime_ns == entered
        assert np.array_equal(model.tensors["w"], weights(1))
    with open_library(tool.directory, bucket, read_only=True) as reader:
        assert np.array_equal(reader.read("m")["w"], weights(1))
    path.unlink()
    assert np.array_equal(library.read("m")["w"], weights(1))
    assert path.stat().st_mtime_ns != entered


def test_ctrl_c_ends_an_open_that_waits_for_the_server(tool, home, bucket, library):
    library.write("m", {"w": weights(1)})
    program = (
        "import sys, exia\n"
        "library = exia.Library(sys.argv[1], blobs=sys.argv[2])\n"
        "print('open', flush=True)\n"
        "input()\n"
        "try:\n"
        "    library.open('m')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(7)\n"
    )
    words = (f"sqlite:{tool.directory}/catalog.db", bucket + "/models")
    pid = int(Path(os.environ["EXIA_TEST_S3_DIRECTORY"], "pid").read_text())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program, *words], **pipes) as reader:
        assert reader.stdout.readline() == "open\n"
        os.kill(pid, signal.SIGSTOP)
        try:
            while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
                time.sleep(0.01)  # until it answers no more
            reader.stdin.write("go\n")
            reader.stdin.flush()
            time.sleep(0.3)  # long enough to be in the call
            reader.send_signal(signal.SIGINT)
            assert reader.wait(10) == 7
        finally:
            os.kill(pid, signal.SIGCONT)
            reader.kill()
    assert np.array_equal(library.read("m")["w"], weights(1))


def test_without_a_cache_all_is_the_same(home, library, monkeypatch):
    library.write("m", {"w": weights(1)})
    monkeypatch.setenv("EXIA_CACHE_SIZE", "0")
    with library.open("m") as model:
        assert model.path is None
        assert np.array_equal(model.tensors["w"], weights(1))
    assert not (home / "cache").exists()


def test_what_is_dead_is_collected_and_what_is_alive_stays(library):
    for seed in (1, 2, 3):
        library.write("m", {"w": weights(seed)})
    library.remove("m", 2)
    time.sleep(3.1)  # versitygw's times are whole seconds
    gone = library.gc(grace=2, wait=True)
    assert gone.totals["removed"] == 1
    assert library.fsck().totals["errors"] == 0
    assert np.array_equal(library.read("m@3")["w"], weights(3))
    library.write("m", {"w": weights(2)})  # what was removed comes anew
    assert np.array_equal(library.read("m@4")["w"], weights(2))
    assert library.fsck().totals["errors"] == 0


def test_a_backup_goes_to_another_library_on_the_server(tool, home, bucket, library):
    for seed in (1, 2):
        library.write("m", {"w": weights(seed)}, alias="live")
    backup = tool.directory / "backup.tar.zst"
    library.backup(backup)
    (tool.directory / "other").mkdir()
    with open_library(tool.directory / "other", bucket + "/other") as other:
        other.restore(backup)
        assert np.array_equal(other.open("m@live").tensors["w"], weights(2))
        assert other.fsck().totals["errors"] == 0


def test_writers_in_two_processes_leave_no_gap(tool, home, bucket, library):
    program = (
        "import sys, numpy, exia\n"
        "library = exia.Library(sys.argv[1], blobs=sys.argv[2])\n"
        "for i in range(5):\n"
        "    library.write('m', {'w': numpy.full(50000, int(sys.argv[3]) * 10 + i)})\n"
    )
    words = (f"sqlite:{tool.directory}/catalog.db", bucket + "/models")
    both = [
        subprocess.Popen([sys.executable, "-c", program, *words, str(number)]) for number in (1, 2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    seen = {int(library.read(f"m@{number}")["w"][0]) for number in range(1, 11)}
    assert seen == {*range(10, 15), *range(20, 25)}


def test_the_tool_writes_and_reads_there_too(tool, bucket):
    where = ("--library", f"sqlite:{tool.directory}/catalog.db", "--blobs", bucket + "/tool")
    source = tool.directory / "weights.bin"
    source.write_bytes(weights(7).tobytes())
    assert tool.text("model", "put", "m", source, "--alias", "live", *where) == "m@1"
    tool.run("model", "get", "m@live", "-o", "out", *where)
    assert (tool.directory / "out" / "model").read_bytes() == source.read_bytes()
    assert tool.json("model", "fsck", *where) == []


# ---- packages ---------------------------------------------------------------------------------


def with_depot(tool, bucket):
    """A remote with its records in a file and its packages on the server."""
    records = f"sqlite:{tool.directory}/depot.db"
    tool.run("remote", "add", "depot", "--records", records, "--packages", bucket + "/packages")
    return tool


def make_package(tool, name="hello", seed=1, **manifest):
    """A package with some MiB of data in it."""
    data = tool.directory / f"{name}.bin"
    data.write_bytes(weights(seed).tobytes())
    directory = tool.workspace(name, **manifest)
    tool.run("add", data, "--as", "data", "-C", directory)
    return tool.directory / tool.text("pack", directory)


def objects(bucket):
    """What the server keeps packages in: files, or directories of its own making."""
    prefix = bucket.rsplit("/", 1)[1]
    return [path for path in Path(SERVED, "data").rglob("*.veda") if prefix in str(path)]


def test_a_package_goes_by_the_server_to_another_home_and_back(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file)
    (moved,) = tool.json("push", "hello", "--to", "depot")
    assert moved["total"] == file.stat().st_size == moved["moved"] + moved["reused"]
    (again,) = tool.json("push", "hello", "--to", "depot")
    assert again["moved"] == 0

    there = with_depot(tool.other_home("there"), bucket)
    tried = {row["key"]: row["value"] for row in there.json("remote", "check", "depot", "--try")}
    assert tried["copies ranges"].startswith("yes")
    assert tried["create_only"] == "kept by the server"
    assert [row["name"] for row in there.json("query", "--remote", "depot")] == ["hello"]
    (moved,) = there.json("pull", "hello", "--from", "depot")
    assert moved["total"] == file.stat().st_size
    directory = Path(there.text("install", "hello"))
    assert (directory / "data" / "hello.bin").read_bytes() == weights(1).tobytes()
    there.run("uninstall", "hello")
    there.run("unregister", "hello@0.1.0", "--remote", "depot")
    assert there.json("query", "--remote", "depot") == []
    tool.fails("pull", "hello", "--from", "depot", says="hello")


def test_who_has_no_keys_reads_a_package_by_its_url(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file, "--remote", "depot")
    (row,) = tool.json("url", "hello", "--remote", "depot", "--expires", "5m")
    assert set(row) == {"package", "remote", "url", "seconds"} and row["seconds"] == 300
    with urllib.request.urlopen(row["url"]) as answer:
        assert answer.read() == file.read_bytes()
    with exia.Registry(tool.home) as registry:
        with urllib.request.urlopen(registry.url("hello", "depot", seconds=60)) as answer:
            assert answer.read() == file.read_bytes()
        with pytest.raises(exia.InvalidError, match="seven days"):
            registry.url("hello", "depot", seconds=10**6)
    tool.fails("url", "hello", "--remote", "depot", "--expires", "8d", says="seven days")


def test_install_brings_all_that_is_needed_from_the_server(tool, bucket):
    with_depot(tool, bucket)
    files = [
        make_package(tool, "base", 2),
        make_package(tool, "app", 3, dependencies=["base >= 0.1"]),
    ]
    for file in files:
        tool.run("register", file, "--remote", "depot")
    there = with_depot(tool.other_home("there"), bucket)
    there.run("install", "app", "--from", "depot")
    assert [row["name"] for row in there.json("list")] == ["app", "base"]


def test_several_homes_pull_one_package_at_once(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file, "--remote", "depot")
    homes = [with_depot(tool.other_home(f"home-{number}"), bucket) for number in range(3)]
    threads = [
        threading.Thread(target=home.run, args=("pull", "hello", "--from", "depot"))
        for home in homes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for home in homes:
        assert [row["name"] for row in home.json("query")] == ["hello"]
        home.run("install", "hello")


def test_a_push_and_a_pull_that_are_killed_are_done_by_the_next_one(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file)
    there = with_depot(tool.other_home("there"), bucket)
    for home, words in (
        (tool, ("push", "hello", "--to", "depot")),
        (there, ("pull", "hello", "--from", "depot")),
    ):
        for seconds in (0.02, 0.05, 0.1):
            process = home.start(*words, "--quiet")
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
        home.run(*words)
    directory = Path(there.text("install", "hello"))
    assert (directory / "data" / "hello.bin").read_bytes() == weights(1).tobytes()


def test_an_object_that_was_altered_on_the_server_is_not_installed_until_it_is_mended(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file)
    tool.run("register", file, "--remote", "depot")
    (there,) = objects(bucket)
    if not there.is_file():
        pytest.skip("this server does not keep objects as files")
    content = bytearray(there.read_bytes())
    content[len(content) // 2] ^= 1
    there.write_bytes(content)
    other = with_depot(tool.other_home("there"), bucket)
    done = other.run("install", "hello", "--from", "depot", code=1)
    assert "other bytes than its name says" in done.stderr
    assert other.json("list") == []

    row = json.loads(tool.run("check", "--remote", "depot", "--json", code=1).stdout)
    assert (row["problem"], row["repaired"]) == ("digest", False)
    (row,) = tool.json("check", "hello", "--remote", "depot", "--repair")
    assert (row["name"], row["repaired"]) == ("hello", True)
    other.run("install", "hello", "--from", "depot")


# ---- versions: what changed ---------------------------------------------------------------------


def make_version(tool, version, edit=b""):
    """Twenty-four MiB of data, of which an edit changes a few bytes in the middle."""
    content = bytearray(weights(7, 24 << 20).tobytes())
    content[12 << 20 : (12 << 20) + len(edit)] = edit
    directory = tool.directory / f"large-{version}"
    (directory / "data").mkdir(parents=True, exist_ok=True)
    (directory / "data" / "weights.bin").write_bytes(content)
    manifest = {"format": 1, "name": "large", "version": version}
    (directory / "veda.json").write_text(json.dumps(manifest))
    return tool.directory / tool.text("pack", directory), bytes(content)


def publish_versions(tool):
    """Two versions on the server: what each moved, and the data of the second."""
    moved = []
    for version, edit in (("1.0", b""), ("2.0", b"edited")):
        file, content = make_version(tool, version, edit)
        tool.run("register", file)
        moved += tool.json("push", f"large@{version}", "--to", "depot")
    return moved, content


def test_two_hosts_that_mean_different_things_by_one_version_are_told(tool, bucket):
    with_depot(tool, bucket)
    other = with_depot(tool.other_home("other"), bucket)
    tool.run("register", make_version(tool, "1.0")[0])
    other.run("register", make_version(other, "1.0", b"edited")[0])
    tool.run("push", "large", "--to", "depot")
    other.fails("push", "large", "--to", "depot", says="was published with other content")
    assert [row["name"] for row in tool.json("query", "--remote", "depot")] == ["large"]


def test_a_new_version_moves_what_changed_and_any_client_reads_it_whole(tool, bucket):
    (first, second), content = publish_versions(with_depot(tool, bucket))
    assert first["moved"] == first["total"]
    assert second["moved"] < 13 << 20 < second["total"]  # parts have 5 MiB at least
    (row,) = tool.json("url", "large@2.0", "--remote", "depot")
    with urllib.request.urlopen(row["url"]) as answer:
        (tool.directory / "plain.veda").write_bytes(answer.read())
    tool.run("verify", "plain.veda")

    there = with_depot(tool.other_home("there"), bucket)
    there.run("pull", "large@1.0", "--from", "depot")
    (moved,) = there.json("pull", "large@2.0", "--from", "depot")
    assert moved["moved"] < 6 << 20 and moved["moved"] + moved["reused"] == moved["total"]
    directory = Path(there.text("install", "large@2.0"))
    assert (directory / "data" / "weights.bin").read_bytes() == content


def test_an_object_that_is_gone_is_told_and_a_push_brings_it_back(tool, bucket):
    file = make_package(with_depot(tool, bucket))
    tool.run("register", file)
    tool.run("push", "hello", "--to", "depot")
    (there,) = objects(bucket)
    shutil.rmtree(there) if there.is_dir() else there.unlink()
    there = with_depot(tool.other_home("there"), bucket)
    there.fails("pull", "hello", "--from", "depot", says="is recorded, but its file")
    problem = json.loads(tool.run("check", "--remote", "depot", "--json", code=1).stdout)
    assert problem["problem"] == "missing"
    (moved,) = tool.json("push", "hello", "--to", "depot")
    assert moved["moved"] == moved["total"]
    there.run("install", "hello", "--from", "depot")


def test_a_push_during_which_the_server_dies_goes_on_when_it_is_back(tool, bucket):
    file, content = make_version(with_depot(tool, bucket), "1.0")
    tool.run("register", file)
    process = tool.start("push", "large", "--to", "depot", "--quiet", stderr=subprocess.PIPE)
    time.sleep(0.15)
    os.kill(int(Path(SERVED, "pid").read_text()), signal.SIGKILL)
    try:
        process.communicate(timeout=60)
    finally:
        start = [os.environ["EXIA_TEST_S3_SERVER"], "start", SERVED]
        subprocess.run(start, stdout=subprocess.DEVNULL, check=True)
    tool.run("push", "large", "--to", "depot")
    there = with_depot(tool.other_home("there"), bucket)
    directory = Path(there.text("install", "large", "--from", "depot"))
    assert (directory / "data" / "weights.bin").read_bytes() == content
