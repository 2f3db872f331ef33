"""minisign's signatures, checked by the standard library alone: ed25519 as RFC 8032 defines it.

Slow, and not safe for secrets: it only ever sees public keys.
"""

import base64
import hashlib
import re

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def require(good, why):
    if not good:
        raise ValueError(why)


# ---- points of the curve, as x, y; the curve is complete, so one rule adds any two ----------------


def add(one, other):
    (a, b), (c, d) = one, other
    t = D * a * b * c * d % P
    x = (a * d + b * c) * pow(1 + t, -1, P)
    y = (b * d + a * c) * pow(1 - t, -1, P)
    return x % P, y % P


def multiply(point, times):
    found = (0, 1)
    while times:
        if times & 1:
            found = add(found, point)
        point, times = add(point, point), times >> 1
    return found


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(raw):
    number = int.from_bytes(raw, "little")
    y, odd = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    require(y < P and x * x % P == square and (x or not odd), "no point of the curve")
    return (P - x if x & 1 != odd else x), y


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def check_ed25519(signature, public, data):
    number = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + public + data).digest()
    key, times = decode(public), int.from_bytes(digest, "little") % ORDER
    minus = (P - key[0], key[1])
    found = add(multiply(BASE, number), multiply(minus, times))
    require(
        number < ORDER and encode(found) == signature[:32], "the signature is not of these bytes"
    )


# ---- minisign's format --------------------------------------------------------------------------


def parse(raw):
    """The algorithm, the key's id, the signature, the trusted comment, the second signature."""
    text = r"((?:[^\0-\x1f\x7f]|\t)*)"
    code = r"([A-Za-z0-9+/]{%d}%s)"
    form = f"untrusted comment: {text}\n{code % (99, '=')}\ntrusted comment: {text}\n" + (
        f"{code % (86, '==')}\n?"
    )
    found = re.fullmatch(form, raw.decode("utf-8"))
    require(found and len(raw) <= 16384, "no signature in minisign's format")
    comments = [found[1].encode(), found[3].encode()]
    signature, second = base64.b64decode(found[2]), base64.b64decode(found[4])
    require(signature[:2] in (b"ED", b"Ed"), "an algorithm that is not known")
    require(max(map(len, comments)) <= 8192, "a comment that is too long")
    return signature[:2], signature[2:10], signature[10:], comments[1], second


def check(raw, data, key):
    """Is it a signature of `data` by the key that minisign writes so?"""
    algorithm, key_id, signature, comment, second = parse(raw)
    public = base64.b64decode(key, validate=True)
    require(len(public) == 42 and public[:2] == b"Ed", "no public key")
    require(public[2:10] == key_id, "the signature is of another key")
    signed = hashlib.blake2b(data).digest() if algorithm == b"ED" else data
    check_ed25519(signature, public[10:], signed)
    check_ed25519(second, public[10:], signature + comment)
