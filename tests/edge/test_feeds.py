"""Whatever is wrong with a feed, nothing of the site changes; what is right is in force, and can be taken back."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from leadglass.edge.feeds import FeedStore, Installed
from leadglass.edge.feeds_source import Described, Feed, is_bundle, make_key, pack, read_bundle, read_key, read_unsigned
from leadglass.edge.feeds_trial import try_rules
from leadglass.errors import ConfigurationError, IntegrityError, LeadglassError, NotFound, Refused, UsageError
from leadglass.gateway.feed import MANIFEST, SIGNATURE, FeedKind, public_key_text, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TRUSTED = frozenset({public_key_text(KEY.public_key())})
RULE = 'rule a { strings: $a = "abcdefgh" condition: $a }'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yar").write_text(RULE)
    (folder / "sub/b.yara").write_text(RULE)
    (folder / "LICENSE").write_text("MIT License\n\nPermission is hereby granted …")
    (folder / "tool.py").write_text("print()")
    (folder / "link.yar").symlink_to("/etc/hostname")
    return folder


def described(**said: object) -> Described:
    return Described(**{"name": "set", "version": "1", "made_on": date(2026, 3, 1), **said})  # type: ignore[arg-type]


@pytest.fixture
def bundle(rules: Path, tmp_path: Path) -> Path:
    path = tmp_path / "set.zip"
    pack(read_unsigned(rules, described()), KEY, path)
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Write a bundle again with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


# --- sources ------------------------------------------------------------------------------------------------


def test_a_folder_says_what_it_is(rules: Path) -> None:
    os.utime(rules / "a.yar", (1e9, 1e9))
    feed = read_unsigned(rules, Described())
    assert list(feed.contents) == ["LICENSE", "a.yar", "sub/b.yara"]
    assert (feed.manifest.name, feed.manifest.licence, feed.signer) == ("rules", "MIT (LICENSE)", "")
    assert feed.manifest.version == feed.manifest.made_on.isoformat() > "2025"


def test_a_zip_file_and_one_rule_file_are_sources_too(rules: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(rules / "a.yar", "top-1.2/yara/a.yar")
        archive.writestr("top-1.2/README.md", "words")
        archive.writestr("top-1.2/tool.py", "print()")
    assert list(read_unsigned(tmp_path / "z.zip", Described()).contents) == ["top-1.2/README.md", "top-1.2/yara/a.yar"]
    assert list(read_unsigned(rules / "a.yar", Described()).contents) == ["a.yar"]


@pytest.mark.parametrize("name", ["../a.yar", "/a.yar", "x/../../a.yar", "..\\a.yar"])
def test_a_zip_file_whose_names_climb_is_refused_whole(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("good.yar", RULE)
        archive.writestr(name, RULE)
    with pytest.raises(Refused, match="climbs"):
        read_unsigned(tmp_path / "z.zip", Described())


def test_what_holds_no_rule_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError):
            read_unsigned(path, Described())


# --- bundles ------------------------------------------------------------------------------------------------


def test_a_bundle_is_read_back_and_is_the_same_each_time(rules: Path, bundle: Path, tmp_path: Path) -> None:
    feed = read_bundle(bundle, TRUSTED)
    assert is_bundle(bundle) and not is_bundle(rules)
    assert (feed.signer,) == tuple(TRUSTED)
    assert feed.contents == read_unsigned(rules, described()).contents
    pack(read_unsigned(rules, described()), KEY, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    with pytest.raises(UsageError):
        pack(feed, KEY, bundle)


def swap(members: dict[str, bytes], name: str, content: bytes) -> None:
    members[name] = content


@pytest.mark.parametrize(
    "change",
    [
        lambda m: swap(m, "a.yar", RULE.replace("a", "b").encode()),
        lambda m: swap(m, "a.yar", m["a.yar"] + b" "),
        lambda m: swap(m, MANIFEST, m[MANIFEST] + b"# words\n"),
        lambda m: swap(m, SIGNATURE, m[SIGNATURE].replace(b" ", b" AAAA", 1)),
        lambda m: swap(m, "more.yar", b""),
        lambda m: swap(m, "../../more.yar", b""),
        lambda m: m.pop("a.yar"),
        lambda m: m.pop(SIGNATURE),
        lambda m: m.pop(MANIFEST),
    ],
)
def test_a_bundle_with_anything_altered_is_refused(bundle: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    rewritten(bundle, change)
    assert is_bundle(bundle)
    with pytest.raises(IntegrityError):
        read_bundle(bundle, TRUSTED)


def test_a_signed_bundle_whose_names_climb_is_refused(bundle: Path) -> None:
    def climb(members: dict[str, bytes]) -> None:
        members["../a.yar"] = members.pop("a.yar")
        members[MANIFEST] = members[MANIFEST].replace(b'"a.yar"', b'"../a.yar"')
        members[SIGNATURE] = sign(members[MANIFEST], KEY)

    with pytest.raises(ConfigurationError, match="leads out"):
        read_bundle(rewritten(bundle, climb), TRUSTED)


def test_a_bundle_of_another_key_is_refused(bundle: Path) -> None:
    other = public_key_text(Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key())
    with pytest.raises(Refused):
        read_bundle(bundle, frozenset({other}))


def test_a_damaged_zip_file_is_told(bundle: Path) -> None:
    data = bundle.read_bytes()
    for length in range(0, len(data), 37):
        bundle.write_bytes(data[:length])
        with pytest.raises(LeadglassError):
            read_bundle(bundle, TRUSTED)


def test_a_key_is_made_once_and_read_back(tmp_path: Path) -> None:
    public = make_key(tmp_path / "k")
    assert public_key_text(read_key(tmp_path / "k").public_key()) == public
    assert (tmp_path / "k").stat().st_mode & 0o77 == 0
    for act in (lambda: make_key(tmp_path / "k"), lambda: read_key(tmp_path / "none")):
        with pytest.raises(UsageError):
            act()
    (tmp_path / "bad").write_text("words")
    with pytest.raises(UsageError):
        read_key(tmp_path / "bad")


# --- the trial ----------------------------------------------------------------------------------------------


def test_rules_are_counted_alone_and_tried_beside_the_others(rules: Path, tmp_path: Path) -> None:
    (rules / "link.yar").unlink()
    assert try_rules(rules, []) == 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.yar").write_text("rule c { condition: false }")
    assert try_rules(rules, [other]) == 2
    (other / "a.yar").write_text("rule a { condition: false }")  # the same name in a file of the same name
    with pytest.raises(UsageError, match="does not compile"):
        try_rules(rules, [other])


@pytest.mark.parametrize(
    "text", ["rule x { condition: nothing }", 'include "/etc/hostname" rule x { condition: true }', "rule"]
)
def test_a_rule_that_does_not_compile_is_named(rules: Path, text: str) -> None:
    (rules / "link.yar").unlink()
    (rules / "sub/bad.yar").write_text(text)
    with pytest.raises(UsageError, match=r"A rule in sub/bad.yar does not compile"):
        try_rules(rules, [])


def test_a_compiler_that_crashes_changes_nothing(rules: Path) -> None:
    crash = (sys.executable, "-c", "import ctypes; ctypes.string_at(0)")
    with pytest.raises(UsageError, match="could not be compiled"):
        try_rules(rules, [], command=crash)


# --- the store ----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> FeedStore:
    return FeedStore(tmp_path / "feeds")


def put(store: FeedStore, feed: Feed, *, accepts_older: bool = False) -> Installed:
    with store.staged(feed, at_us=7, actor="a", accepts_older=accepts_older) as staged:
        return staged.put_in_force(2)


def feed_of(tmp_path: Path, version: str, **said: object) -> Feed:
    path = tmp_path / "one.yar"
    path.write_text(RULE.replace("abcdefgh", f"abcdefgh{version}"))
    return read_unsigned(path, described(version=version, **said))


def test_what_is_put_in_force_is_there(store: FeedStore, bundle: Path) -> None:
    assert store.every() == [] and store.rule_paths() == ()
    made = put(store, read_bundle(bundle, TRUSTED))
    assert (made.signer,) == tuple(TRUSTED)
    assert (made.rules, made.imported_us, made.imported_by) == (2, 7, "a")
    assert made.sha256 == hashlib.sha256((made.folder / MANIFEST).read_bytes()).hexdigest()
    assert store.rule_paths() == (made.content,)
    assert made.faults() == []
    assert all(path.stat().st_mode & 0o77 == 0 for path in made.folder.rglob("*"))
    assert store.others("set") == ()


def test_the_version_before_is_kept_and_restored(store: FeedStore, tmp_path: Path) -> None:
    made = [put(store, feed_of(tmp_path, version)) for version in ("1", "2", "3")]
    assert not made[0].folder.exists() and made[1].folder.exists()
    asked: list[Installed] = []
    assert store.restore("set", asked.append).manifest.version == "2"
    assert asked == [made[1]]
    assert store.rule_paths() == (made[1].content,)
    assert store.restore("set", asked.append).manifest.version == "3"


def test_nothing_changes_where_nothing_was_put_in_force(store: FeedStore, tmp_path: Path) -> None:
    first = put(store, feed_of(tmp_path, "1"))
    before = sorted(tmp_path.joinpath("feeds").rglob("*"))
    with pytest.raises(ZeroDivisionError), store.staged(feed_of(tmp_path, "2"), at_us=0, actor="a"):
        raise ZeroDivisionError
    for feed, error in (
        (feed_of(tmp_path, "1"), "in force already"),
        (feed_of(tmp_path, "0", made_on=date(2026, 2, 28)), "older"),
    ):
        with pytest.raises(Refused, match=error):
            put(store, feed)
    assert sorted(tmp_path.joinpath("feeds").rglob("*")) == before
    assert store.standing("set").current == first
    put(store, feed_of(tmp_path, "0", made_on=date(2026, 2, 28)), accepts_older=True)


def refuse(_: object) -> None:
    raise Refused("No.")


def test_what_is_not_accepted_is_neither_restored_nor_removed(store: FeedStore, tmp_path: Path) -> None:
    put(store, feed_of(tmp_path, "1"))
    second = put(store, feed_of(tmp_path, "2"))
    for act in (store.restore, store.remove):
        with pytest.raises(Refused):
            act("set", refuse)
    assert store.standing("set").current == second
    store.remove("set", lambda _: None)
    assert store.every() == []
    with pytest.raises(NotFound):
        store.standing("set")


def test_files_changed_on_the_disk_are_named(store: FeedStore, tmp_path: Path) -> None:
    made = put(store, feed_of(tmp_path, "1"))
    (made.content / "one.yar").write_text("rule a { condition: false }")
    (made.content / "two.yar").write_text("")
    assert made.faults() == ["one.yar", "two.yar"]
    with pytest.raises(IntegrityError, match="not what was taken in"):
        store.require_whole()


def test_a_broken_feed_is_not_passed_over_and_can_be_removed(store: FeedStore, tmp_path: Path) -> None:
    put(store, feed_of(tmp_path, "1"))
    (tmp_path / "feeds/set/state.json").write_text("{")
    (path,) = store.rule_paths()
    assert not path.exists()
    with pytest.raises(ConfigurationError):
        store.every()
    with pytest.raises(ConfigurationError):
        put(store, feed_of(tmp_path, "2"))
    asked: list[object] = []
    store.remove("set", asked.append)
    assert asked == [None] and store.rule_paths() == ()


def test_what_an_ended_import_left_goes_with_the_next(store: FeedStore, tmp_path: Path) -> None:
    (tmp_path / "feeds/.new-0").mkdir(parents=True)
    put(store, feed_of(tmp_path, "1"))
    assert not (tmp_path / "feeds/.new-0").exists()


def test_one_name_is_one_kind(store: FeedStore, tmp_path: Path) -> None:
    put(store, feed_of(tmp_path, "1"))
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(Refused, match="a feed of yara here"):
        put(store, read_unsigned(tmp_path / "a.json", described(kind=FeedKind.ADVISORIES, version="2")))
