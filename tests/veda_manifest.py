"""METADATA.json and veda.json as libexia/package/FORMAT.md has them, for the second reader."""

import json
import re

NAME = r"[a-z0-9_][a-z0-9._-]{0,127}"
ENTRY = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
WORD = r"[A-Za-z_][A-Za-z0-9_]*"
DOTTED = rf"{WORD}(?:\.{WORD})*"
RELEASE = r"[0-9]+(?:\.[0-9]+)*"
NUMBER = r"(?:[.-]?[0-9]+)?"
LOCAL = r"(?:\+[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*)?"
PEP440 = (
    rf"{RELEASE}(?:[.-]?(?:alpha|a|beta|b|preview|pre|rc|c){NUMBER})?"
    rf"(?:-[0-9]+|[.-]?(?:post|rev|r){NUMBER})?(?:[.-]?dev{NUMBER})?{LOCAL}"
)
SEMVER = rf"{RELEASE}-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*{LOCAL}"
VERSION = rf"(?=[^ ,]{{1,128}}(?:[ ,]|\Z))(?i:{PEP440}|{SEMVER})"
STAR = rf"(?:(?:==|!=) *)?(?=[^ ,]{{1,128}}(?:[ ,]|\Z)){RELEASE}\.\*|(?:== *)?\*"
CLAUSE = rf" *(?:(?:(?:==|!=|<=|>=|<|>|\^|~) *|~= *(?=[0-9]+\.[0-9])){VERSION}|{STAR}) *"
DEPENDENCY = rf" *(?P<name>{NAME}) *(?:{CLAUSE}(?:(?:,|\|\|){CLAUSE}){{0,7}})?"
KINDS = ("code", "model", "data", "env", "doc")
FIELDS = {
    "format": int, "digest": str, "members": int, "size": int, "record": int, "frames": dict,
    "compression": dict, "manifest": dict,
}  # fmt: skip
FRAMES = {"data": int, "record": int, "digest": str}
COMPRESSION = {"zstd": str, "level": int}
MANIFEST = {
    "format": int, "name": str, "version": str, "platform": str, "description": str,
    "components": list, "entry_points": dict, "dependencies": list, "environment": dict,
}  # fmt: skip


def check(good, why):
    if not good:
        raise ValueError(why)


def matches(pattern, text):
    return type(text) is str and re.fullmatch(pattern, text, re.ASCII) is not None


def check_types(found, types):
    for key, value in found.items():
        check(key in types and type(value) is types[key], f"the member {key!r}")


def parse(raw):
    """A JSON text, no name in it twice, and no U+0000."""

    def once(pairs):
        check(len(dict(pairs)) == len(pairs), "a name that is there twice")
        check(all("\0" not in text for pair in pairs for text in pair if type(text) is str), "NUL")
        return dict(pairs)

    found = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    dump(found).encode("utf-8")  # no half of a pair of surrogates
    return found


def dump(value):
    """The one encoding: Python's, but with hexadecimal digits in upper case."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'(\\[\\"bfnrt])|\\u00(..)', lambda m: m[1] or f"\\u00{m[2].upper()}", text)


def metadata(raw):
    found = parse(raw)
    check(type(found) is dict and type(found.get("format")) is int, "the format")
    check(found["format"] == 1, f"format {found['format']}")
    for value, types in ((found, FIELDS), (found["frames"], FRAMES),
                         (found["compression"], COMPRESSION)):  # fmt: skip
        check(list(value) == list(types), "the members of METADATA.json")
        check_types(value, types)
    for value in found["digest"], found["frames"]["digest"]:
        check(matches("[0-9a-f]{64}", value), "a digest")
    least = found["members"], found["record"], found["frames"]["data"], found["frames"]["record"]
    check(min(least) >= 1 and found["size"] >= 0, "a number")
    check(-(2**31) <= found["compression"]["level"] < 2**31, "the level")
    check_manifest(found["manifest"])
    check(dump(found).encode() == raw, "METADATA.json is written in another way")
    return found


def check_path(path):
    check(type(path) is str, "a path")
    raw = path.encode("utf-8")
    parts = raw.split(b"/")
    check(len(raw) <= 4095 and b"\0" not in raw, "a path")
    check(all(0 < len(part) <= 255 and part not in (b".", b"..") for part in parts), "a path")


def check_once(names):
    check(len(set(names)) == len(names), "something that is listed twice")


def check_manifest(found):
    check_types(found, MANIFEST)
    check(found["format"] == 1, f"a manifest of format {found['format']}")
    check(matches(NAME, found["name"]), "the name")
    check(matches(VERSION, found["version"]), "the version")
    check(matches(r"[a-z0-9_]{1,64}", found.get("platform", "any")), "the platform")
    for one in found.get("components", []):
        check(set(one) == {"path", "kind"} and one["kind"] in KINDS, "a component")
        check_path(one["path"])
    check_once([one["path"] for one in found.get("components", [])])
    for name, value in found.get("entry_points", {}).items():
        check(matches(ENTRY, name) and matches(f"{DOTTED}:{DOTTED}", value), "an entry point")
    needs = [re.fullmatch(DEPENDENCY, text, re.ASCII) for text in found.get("dependencies", [])]
    check(all(needs), "a dependency")
    check_once([found["name"], *(need["name"] for need in needs)])
    environment = found.get("environment", {})
    check_types(environment, {"paths": dict, "variables": dict})
    for name, value in environment.get("paths", {}).items():
        check(matches(WORD, name), "the name of a variable")
        for path in value if type(value) is list else [value]:
            check_path(path)
    for name, value in environment.get("variables", {}).items():
        check(matches(WORD, name) and type(value) is str, "a variable")


def compare(raw, manifest, members):
    """Does veda.json say what METADATA.json says, and of what there is?"""
    found = parse(raw)
    check(dump(found) == dump(manifest), "veda.json is not the manifest")
    for one in manifest.get("components", []):
        check(one["path"].encode("utf-8") in members, "a component that is not in the package")
