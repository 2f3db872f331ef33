"""Keys and signatures: what is signed by a trusted key is loaded, and minisign agrees."""

from __future__ import annotations

import json
import operator
import shutil
import subprocess
from pathlib import Path

import pytest

import exia

KEY = "RWTBDmtHYJpOJnJ6HM/PCOmK56zxRdk2898dkMm7r5vNKXtvWS6/Ei72"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A library where others may write, with a pickle that no policy allows."""
    directory = tmp_path / "foreign"
    with exia.Library(directory) as library:
        library.write("m", operator.itemgetter(1))
    directory.chmod(0o777)
    return directory


def test_a_signature_of_a_trusted_key_lets_a_pickle_in_until_it_is_revoked(
    foreign: Path, tmp_path: Path
) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps({"format": 1}))
    made = exia.new_key(tmp_path / "k.pem", password="secret")
    with exia.Library(foreign, trust=trust) as library:
        with pytest.raises(exia.DeniedError, match="password is needed"):
            library.sign("m", key=tmp_path / "k.pem")
        library.sign("m", key=tmp_path / "k.pem", password="secret")
        with pytest.raises(exia.UntrustedError, match=f"key {made['id']}, which is not trusted"):
            library.read("m")
        exia.trust_key("me", made["key"], trust=trust)
        assert library.read("m")([1, 2]) == 2
        assert library.open("m", verify=True).policy["signed"]["by"] == "me"
        library.export("m", tmp_path / "out")
        assert exia.open_model(tmp_path / "out", trust=trust).read()([1, 2]) == 2
        exia.revoke_key("me", "lost", trust=trust)
        assert exia.keys(trust)[0]["why"] == "lost"
        with pytest.raises(exia.UntrustedError, match="was revoked: lost"):
            library.read("m")


def test_bytes_that_are_not_the_signed_ones_are_not_loaded(foreign: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    exia.new_key(tmp_path / "k.pem")
    exia.trust_key("me", tmp_path / "k.pub", trust=trust)
    with exia.Library(foreign, trust=trust) as library:
        library.sign("m", key=tmp_path / "k.pem")
        library.export("m", tmp_path / "out")
    part = tmp_path / "out" / "model"
    part.chmod(0o600)
    raw = part.read_bytes()
    part.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(exia.CorruptError, match="not what was signed"):
        exia.open_model(tmp_path / "out", trust=trust).read()


def test_minisign_checks_our_signature_and_we_check_its(foreign: Path, tmp_path: Path) -> None:
    minisign = shutil.which("minisign")
    if minisign is None:
        pytest.skip("minisign is not installed")

    def run(*arguments: str) -> None:
        subprocess.run([minisign, *arguments], check=True, cwd=tmp_path, capture_output=True)

    trust = tmp_path / "trust.json"
    made = exia.new_key(tmp_path / "k.pem")
    exia.trust_key("me", made["key"], trust=trust)
    run("-G", "-W", "-p", "mini.pub", "-s", "mini.sec")
    exia.trust_key("mini", tmp_path / "mini.pub", trust=trust)
    with exia.Library(foreign, trust=trust) as library:
        library.sign("m", key=tmp_path / "k.pem")
        model = library.open("m")
        (tmp_path / "record").write_text(model.record)
        (tmp_path / "ours").write_text(model.signatures[0]["signature"])
        run("-V", "-H", "-m", "record", "-x", "ours", "-P", made["key"])
        run("-V", "-m", "record", "-x", "ours", "-p", "k.pub")
        run("-S", "-s", "mini.sec", "-m", "record", "-x", "theirs")
        library.sign("m", signature=(tmp_path / "theirs").read_text())
        assert [row["by"] for row in library.open("m").signatures] == ["me", "mini"]
        assert {row["state"] for row in library.open("m").signatures} == {"good"}


def test_a_signed_model_in_an_installed_package_is_trusted_by_its_key(
    tmp_path: Path, home: Path
) -> None:
    author = exia.new_key(tmp_path / "author.pem")
    exia.new_workspace(tmp_path / "workspace", "carrier")
    with exia.Library(tmp_path / "workspace" / "models") as library:
        library.write("m", operator.itemgetter(1))
        library.sign("m", key=tmp_path / "author.pem")
        library.write("unsigned", operator.itemgetter(1))
        library.export("m", tmp_path / "workspace" / "plain")
    with exia.Registry() as registry:
        registry.register(exia.pack(tmp_path / "workspace", tmp_path / "carrier.veda"))
        installed = Path(registry.install("carrier"))
    with exia.Library(installed / "models", read_only=True) as library:
        with pytest.raises(exia.UntrustedError, match=f"key {author['id']}, which is not trusted"):
            library.read("m")
        exia.trust_key("author", author["key"])
        with library.open("m", verify=True) as model:
            assert model.policy["signed"]["by"] == "author"
            assert model.read()([1, 2]) == 2
        with pytest.raises(exia.UntrustedError, match="came in a package"):
            library.read("unsigned")
    with exia.open_model(installed / "plain", verify=True) as model:
        assert model.policy["signed"]["by"] == "author"
        assert model.read()([1, 2]) == 2
    exia.revoke_key("author")
    with pytest.raises(exia.UntrustedError, match="revoked"):
        exia.open_model(installed / "plain", verify=True).read()


# ---- packages -----------------------------------------------------------------------------------


@pytest.fixture
def veda(tmp_path: Path) -> Path:
    exia.new_workspace(tmp_path / "workspace", "hello")
    return Path(exia.pack(tmp_path / "workspace", tmp_path / "hello.veda"))


def test_a_required_signature_is_one_of_a_trusted_key(veda: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps({"format": 1}))
    made = exia.new_key(tmp_path / "k.pem", password="secret")
    with pytest.raises(exia.UntrustedError, match="is not signed"):
        exia.Package(veda, trust=trust).verify(require_signature=True)
    with pytest.raises(exia.DeniedError, match="password is needed"):
        exia.sign(veda, key=tmp_path / "k.pem")
    assert exia.Package(veda, trust=trust).signatures == []
    exia.sign(veda, tmp_path / "signed.veda", key=tmp_path / "k.pem", password="secret")
    package = exia.Package(tmp_path / "signed.veda", trust=trust)
    assert package.metadata == exia.Package(veda).metadata
    with pytest.raises(exia.UntrustedError, match=f"key {made['id']}, which is not trusted"):
        package.verify(quick=True, require_signature=True)
    exia.trust_key("me", made["key"], trust=trust)
    package.verify(require_signature=True)
    (row,) = package.signatures
    assert (row["state"], row["by"], row["comment"]) == ("good", "me", "hello@0.1.0#any")
    exia.revoke_key("me", "lost", trust=trust)
    package.verify()
    with pytest.raises(exia.UntrustedError, match="was revoked: lost"):
        package.verify(require_signature=True)
    trust.write_text(json.dumps({"format": 1, "require_signature": True}))
    with pytest.raises(exia.UntrustedError, match="which is not trusted"):
        package.verify(quick=True)


def test_what_is_packed_and_signed_at_once_is_what_is_signed_later(
    veda: Path, tmp_path: Path
) -> None:
    exia.new_key(tmp_path / "k.pem")
    exia.sign(veda, key=tmp_path / "k.pem")
    once = tmp_path / "once.veda"
    with pytest.raises(exia.NotFoundError, match=r"none\.pem"):
        exia.pack(tmp_path / "workspace", once, sign=True, key=tmp_path / "none.pem")
    with pytest.raises(TypeError, match="sign=True"):
        exia.pack(tmp_path / "workspace", once, key=tmp_path / "k.pem")
    exia.pack(tmp_path / "workspace", once, sign=True, key=tmp_path / "k.pem")
    assert once.read_bytes() == veda.read_bytes()


def test_a_signature_goes_from_one_copy_to_another_and_to_no_other_package(
    veda: Path, tmp_path: Path
) -> None:
    trust = tmp_path / "trust.json"
    made = exia.new_key(tmp_path / "k.pem")
    exia.trust_key("me", made["key"], trust=trust)
    exia.sign(veda, tmp_path / "signed.veda", key=tmp_path / "k.pem", comment="checked")
    signature = exia.Package(tmp_path / "signed.veda", trust=trust).signatures[0]["signature"]
    exia.sign(veda, signature=signature, trust=trust)
    assert veda.read_bytes() == (tmp_path / "signed.veda").read_bytes()
    exia.new_workspace(tmp_path / "other", "other")
    other = exia.pack(tmp_path / "other", tmp_path / "other.veda")
    with pytest.raises(exia.UntrustedError, match="not of this package"):
        exia.sign(other, signature=signature, trust=trust)


def test_keys_want_sound_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="key must be a path"):
        exia.trust_key("a", None, trust=tmp_path / "t.json")  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError):
        exia.trust_key("a b", KEY, trust=tmp_path / "t.json")
    with pytest.raises(exia.NotFoundError):
        exia.revoke_key("a", trust=tmp_path / "t.json")
