"""Write tests/vectors/envelope/*.lge: sealed objects with a stated outcome, made from docs/spec/envelope.md alone.

This is a second writer of the format: it imports nothing of Leadglass, so that a mistake in the product and
the same mistake in its vectors would have to be made twice. It also makes what an honest writer never would.

    python tools/make_envelope_vectors.py
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(__file__).parents[1] / "tests" / "vectors" / "envelope"
HEADER, TRAILER, TAG = 152, 16, 16
Frames = tuple[tuple[tuple[int, int], ...], ...]


def fixed(label: str, length: int) -> bytes:
    """Give bytes that look random and are the same for everybody."""
    return blake3(label.encode()).digest(length)


@dataclass(frozen=True)
class Object:
    """What is sealed, and every secret that goes into it."""

    seed: str
    length: int
    dataset_offset: int = 0
    k: int = 12
    frames: Frames = ()
    description: bytes = b'{"made":"for a test"}'
    who: str = "A"
    scope: str = "S"
    suite: int = 1
    flags: int = 0
    footer: dict[str, object] = field(default_factory=dict)  # what a dishonest writer puts instead

    @property
    def plaintext(self) -> bytes:
        return fixed(f"plaintext {self.seed}", self.length)

    @property
    def object_id(self) -> bytes:
        return fixed(f"object {self.who}", 16)

    @property
    def scope_id(self) -> bytes:
        return fixed(f"scope {self.scope}", 16)

    @property
    def scope_key(self) -> bytes:
        return fixed(f"scope key {self.scope}", 32)

    @property
    def data_key(self) -> bytes:
        return fixed(f"data key {self.who}", 32)

    @property
    def salt(self) -> bytes:
        return fixed(f"salt {self.who}", 32)

    def keys(self) -> tuple[AESGCM, bytes]:
        info = b"leadglass LGE1 payload" + bytes([self.suite, self.k]) + self.object_id
        both = HKDF(hashes.SHA256(), 64, self.salt, info).derive(self.data_key)
        return AESGCM(both[:32]), both[32:]

    def header(self, *, wrapped_key: bytes | None = None) -> bytes:
        head = b"LGE1" + bytes([self.suite, self.k, 0, self.flags]) + self.object_id + self.scope_id + self.salt
        wrapping = hmac.digest(self.scope_key, b"leadglass LGE1 wrap" + head, "sha256")
        head += AESGCM(wrapping).encrypt(bytes(12), wrapped_key or self.data_key, head)
        return head + hmac.digest(self.keys()[1], head, "sha256")

    def chunk(self, index: int, *, last: bool, plaintext: bytes | None = None) -> bytes:
        size = 1 << self.k
        part = self.plaintext[index * size : (index + 1) * size] if plaintext is None else plaintext
        return self.keys()[0].encrypt(bytes(3) + struct.pack(">QB", index, last), part, None)

    @property
    def count(self) -> int:
        return max(1, -(-self.length // (1 << self.k)))

    def chunks(self) -> list[bytes]:
        return [self.chunk(index, last=index == self.count - 1) for index in range(self.count)]

    def table(self) -> tuple[int, bytes]:
        counts = b"".join(struct.pack(">I", len(frame)) for frame in self.frames)
        gaps, lengths, end = b"", b"", 0
        for offset, length in (item for frame in self.frames for item in frame):
            gaps += struct.pack(">Q", (offset - end) % 2**64)
            lengths += struct.pack(">Q", length)
            end = offset + length
        table = counts + gaps + lengths
        if len(lengths) // 8 <= 16:
            return 0, table
        deflater = zlib.compressobj(1, wbits=-15)
        return 1, deflater.compress(table) + deflater.flush()

    def end(self, *, header: bytes | None = None, count: int | None = None, reserved: int = 0) -> bytes:
        """Footer and trailer."""
        encoding, table = self.table()
        values = {
            "length": self.length,
            "dataset_offset": self.dataset_offset,
            "digest": blake3(self.plaintext[self.dataset_offset :]).digest(),
            "described": len(self.description),
            "frames": len(self.frames),
            "ranges": sum(map(len, self.frames)),
            "table_length": len(table),
            "encoding": encoding,
        } | {key: value for key, value in self.footer.items() if key != "table"}
        table = bytes(self.footer.get("table", table))  # type: ignore[arg-type]
        values["table_length"] = self.footer.get("table_length", len(table))
        plain = struct.pack(">QQ32sIIIIB7x", *values.values()) + self.description + table
        trailer = struct.pack(">IQ4s", len(plain) + TAG, reserved, b"LGEF")
        nonce = b"\1\0\0" + struct.pack(">QB", self.count if count is None else count, 1)
        return self.keys()[0].encrypt(nonce, plain, (header or self.header()) + trailer) + trailer

    def file(self) -> bytes:
        return self.header() + b"".join(self.chunks()) + self.end()


def success() -> dict[str, tuple[Object, str]]:
    """Objects that must open, and why each is here."""
    frame = ((200, 3000),)
    return {
        "empty": (Object("empty", 0), "No plaintext: one empty chunk."),
        "one-byte": (Object("one-byte", 1), "The shortest chunk with content."),
        "one-full-chunk": (Object("full", 4096), "The last chunk may be full; no empty one follows it."),
        "one-chunk-and-a-byte": (Object("more", 4097), "The shortest second chunk."),
        "three-chunks": (Object("three", 9192, 200, frames=(frame, ((3200, 5992),))), "Two frames, a file header."),
        "fragments": (
            Object("fragments", 9192, 200, frames=(((300, 10), (318, 20)), (), ((346, 1000),))),
            "A frame of two fragments, a frame of none.",
        ),
        "shared-byte": (
            Object("shared", 5000, frames=(((100, 13),), ((112, 13),), ((4, 2),))),
            "Frames that share a byte (1 bit allocated), and one that lies before the others: gaps below zero.",
        ),
        "deflated-table": (
            Object("table", 9000, frames=tuple(((i * 200, 192 + i % 5),) for i in range(40))),
            "More than 16 ranges: the table is deflated.",
        ),
        "long-description": (Object("described", 100, description=b"d" * 6000), "A footer longer than a chunk."),
        "chunk-64k": (Object("default", 65_536 + 700, 300, k=16), "The chunk length Leadglass writes."),
    }


BASE = Object("three", 9192, 200, frames=(((200, 3000),), ((3200, 5992),)))
OTHER = replace(BASE, seed="other", who="B")
SEALED_CHUNK = 4096 + TAG


def flipped(at: int, bit: int = 0) -> bytes:
    """Give the base object's file with one bit the other way; a negative `at` counts from the end."""
    data = bytearray(BASE.file())
    data[at] ^= 1 << bit
    return bytes(data)


def refused_at_open() -> dict[str, tuple[bytes, str]]:
    """Files that no reader may open."""
    whole, chunks, end = BASE.file(), BASE.chunks(), BASE.end()
    header = BASE.header()
    flips = {
        "magic": (0, "magic"),
        "suite": (4, "suite"),
        "chunk-length": (5, "k: 12 becomes 13"),
        "flags": (7, "flags"),
        "object-id": (8, "object id"),
        "scope-id": (24, "scope id"),
        "salt": (40, "salt"),
        "wrapped-key": (72, "wrapped data key"),
        "commitment": (HEADER - 1, "commitment"),
        "last-chunk": (HEADER + 2 * SEALED_CHUNK + 5, "last chunk"),
        "last-chunk-tag": (-len(end) - 1, "last chunk's tag"),
        "footer": (-len(end), "footer"),
        "footer-tag": (-TRAILER - 1, "footer's tag"),
        "trailer-length": (-TRAILER + 3, "footer length in the trailer"),
        "trailer-zero": (-TRAILER + 4, "zero bytes of the trailer"),
        "trailer-magic": (-1, "trailer's magic"),
    }
    files = {f"flipped-{name}": (flipped(at), f"One bit of the {what}.") for name, (at, what) in flips.items()}
    two = replace(BASE, length=8192, frames=(((200, 3000),),))
    files |= {
        "nothing": (b"", "An empty file."),
        "header-only": (header, "Only the header."),
        "never-finished": (bytes(HEADER) + whole[HEADER:], "The header was never written."),
        "truncated-byte": (whole[:-1], "One byte short."),
        "truncated-in-chunk": (whole[: HEADER + 5000], "Cut inside the second chunk."),
        "truncated-at-chunk": (whole[: HEADER + 2 * SEALED_CHUNK], "Cut between chunks."),
        "truncated-before-footer": (whole[: -len(end)], "All chunks, no footer."),
        "truncated-end-kept": (header + b"".join(chunks[:2]) + end, "The last chunk removed, the end kept."),
        "truncated-end-moved": (
            header + b"".join(chunks[:2]) + two.end(count=3),
            "The last chunk removed, a footer of that length.",
        ),
        "chunk-removed": (header + chunks[0] + chunks[2] + end, "The middle chunk removed, the end kept."),
        "chunk-repeated": (header + chunks[0] + chunks[1] * 2 + chunks[2] + end, "The middle chunk twice."),
        "appended-byte": (whole + b"\0", "One byte added."),
        "appended-trailer": (whole + end[-TRAILER:], "The trailer twice."),
        "appended-end": (whole + end, "Footer and trailer twice."),
        "inserted-before-footer": (whole[: -len(end)] + b"\0" + end, "A byte between the last chunk and the footer."),
        "last-reordered": (header + chunks[0] + chunks[2] + chunks[1] + end, "The last chunk before the second."),
        "not-marked-last": (
            header + chunks[0] + chunks[1] + BASE.chunk(2, last=False) + end,
            "The last chunk is not marked as the last, though sealed under the right key.",
        ),
        "spliced-header": (OTHER.header() + whole[HEADER:], "The header of another object of the same study."),
        "spliced-chunks": (header + b"".join(OTHER.chunks()) + end, "The chunks of another object."),
        "spliced-footer": (header + b"".join(chunks) + OTHER.end(), "The footer of another object, as long."),
        "spliced-last-chunk": (header + chunks[0] + chunks[1] + OTHER.chunks()[2] + end, "Another's last chunk."),
        "swapped-scope": (
            header[:24] + replace(BASE, scope="T").scope_id + whole[40:],
            "The scope id of another study, whose key the reader has too.",
        ),
        "rewrapped-scope": (
            replace(BASE, scope="T").header() + b"".join(chunks) + end,
            "Wrapped anew for another study by one who has the keys, the footer left as it was.",
        ),
        "other-data-key": (
            BASE.header(wrapped_key=OTHER.data_key)[: HEADER - 32] + header[-32:] + b"".join(chunks) + end,
            "Another data key under the right scope key, the commitment left as it was.",
        ),
    }
    false = header[:-32] + bytes(32)
    full = replace(BASE, length=4096, frames=())
    files |= {
        "false-commitment": (
            false + b"".join(chunks) + BASE.end(header=false),
            "A commitment that is not the data key's, the rest sealed to that header by one who has the keys.",
        ),
        "trailer-reserved": (
            header + b"".join(chunks) + BASE.end(reserved=1),
            "A trailer that says more than this version knows, sealed by one who has the keys.",
        ),
        "empty-last-chunk": (
            full.header() + full.chunk(0, last=False) + full.chunk(1, last=True) + full.end(count=2),
            "A full chunk, then an empty last one: a second chunking of the same plaintext.",
        ),
        "unknown-suite": (replace(BASE, suite=2).file(), "A suite of a later version, everything else sound."),
        "unknown-flags": (replace(BASE, flags=1).file(), "A flag of a later version, everything else sound."),
    }
    bomb = zlib.compressobj(9, wbits=-15)
    zeros = bomb.compress(bytes(10_000_000)) + bomb.flush()
    lies: dict[str, tuple[dict[str, object], str]] = {
        "footer-length": ({"length": 9191}, "The footer states one byte less than there is."),
        "footer-data-set": ({"dataset_offset": 9193}, "The data set begins after the end."),
        "footer-description": ({"described": 22}, "The description runs into the frame table."),
        "footer-table-length": ({"table_length": 41}, "The frame table runs past the footer."),
        "footer-encoding": ({"encoding": 2}, "An encoding of the frame table nobody knows."),
        "footer-counts": ({"frames": 1, "ranges": 2, "table": b"\0\0\0\1" + bytes(32)}, "Counts that do not add up."),
        "footer-table-bomb": ({"encoding": 1, "table": zeros}, "A frame table of 10 MB, stated as 40 bytes."),
        "footer-table-huge": (
            {"frames": 1 << 31, "ranges": 1 << 31, "encoding": 1, "table": zeros}, "Two thousand million frames.",
        ),
        "footer-table-broken": ({"encoding": 1, "table": b"\xff" * 40}, "A frame table that does not inflate."),
    }  # fmt: skip
    files |= {name: (replace(BASE, footer=lie).file(), why) for name, (lie, why) in lies.items()}
    return files


def refused_at_read() -> dict[str, tuple[bytes, str, str, str]]:
    """Files whose end is sound and whose middle is not: contents, why, a good range, a bad one."""
    header, (first, second, last), end = BASE.header(), BASE.chunks(), BASE.end()
    others = OTHER.chunks()
    untouched, both = "8192-9192", "0-8192"
    return {
        "flipped-chunk-0": (flipped(HEADER + 77), "One bit of the first chunk.", "4096-9192", "0-1"),
        "flipped-chunk-1": (flipped(HEADER + SEALED_CHUNK, 7), "One bit of the second.", "0-4096", "4000-4100"),
        "flipped-chunk-tag": (flipped(HEADER + SEALED_CHUNK - 1), "One bit of a tag.", "4096-9192", "4095-4096"),
        "reordered-chunks": (header + second + first + last + end, "Two chunks changed places.", untouched, both),
        "replayed-chunk": (header + first + first + last + end, "The first chunk twice.", "0-4096", "4096-4097"),
        "spliced-chunk": (header + first + others[1] + last + end, "A chunk of another object.", "0-4096", "8191-8192"),
        "zeroed-chunk": (header + bytes(SEALED_CHUNK) + second + last + end, "A hole of zeros.", "4096-9192", "0-4096"),
        "marked-last": (
            header + first + BASE.chunk(1, last=True) + last + end,
            "A chunk in the middle is marked as the last, though sealed under the right key.", "0-4096", "4096-8192",
        ),
    }  # fmt: skip


def header_lines(item: Object, expect: str, why: str, **more: str) -> dict[str, str]:
    """Give what stands above the file in a vector."""
    return {
        "expect": expect,
        **more,
        "why": why,
        "object-id": item.object_id.hex(),
        "scope-id": item.scope_id.hex(),
        "scope-key": item.scope_key.hex(),
        "length": str(item.length),
        "data-set-offset": str(item.dataset_offset),
        "digest": blake3(item.plaintext[item.dataset_offset :]).hexdigest(),
    }


def write(name: str, lines: dict[str, str], data: bytes) -> None:
    """Write one vector."""
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (FOLDER / f"{name}.lge").write_bytes(text.encode() + b"\n" + data)


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (item, why) in success().items():
        lines = header_lines(item, "success", why)
        lines |= {
            "k": str(item.k),
            "data-key": item.data_key.hex(),
            "salt": item.salt.hex(),
            "plaintext-seed": f"plaintext {item.seed}",
            "frames": " ".join("+".join(f"{a}:{b}" for a, b in frame) or "-" for frame in item.frames),
            "description": hashlib.sha256(item.description).hexdigest(),
        }
        write(name, lines, item.file())
    for name, (data, why) in refused_at_open().items():
        lines = header_lines(BASE, "refused", why, at="open")
        other = replace(BASE, scope="T")
        if name in ("swapped-scope", "rewrapped-scope"):
            lines |= {"scope-id": other.scope_id.hex(), "scope-key": other.scope_key.hex()}
        if name == "spliced-header":
            lines["object-id"] = OTHER.object_id.hex()
        write(name, lines, data)
    wrong_key = header_lines(BASE, "refused", "The reader has another key for this scope.", at="open")
    write("wrong-key", wrong_key | {"scope-key": fixed("scope key T", 32).hex()}, BASE.file())
    wrong_id = header_lines(BASE, "refused", "The file lies where another object belongs.", at="open")
    write("wrong-object-id", wrong_id | {"object-id": OTHER.object_id.hex()}, BASE.file())
    for name, (data, why, good, bad) in refused_at_read().items():
        write(name, header_lines(BASE, "refused", why, at="read", good=good, bad=bad), data)
    lie = replace(BASE, footer={"digest": bytes(32)})
    why = "A digest that is not the content's, sealed by one who has the keys."
    write("footer-digest", header_lines(BASE, "refused", why, at="verify", good="0-9192"), lie.file())


if __name__ == "__main__":
    main()
