"""Makes logs of several sizes from the C2SP texts alone: no code of this project is used.

    make_logs.py DIR        writes DIR/<name>/{checkpoint,vkey,tile/…}

They stand in for an export where none is given, and show that the checkers tell a good log from a bad one.
"""

import base64
import hashlib
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# One entry; a full tile exactly; a partial one beside full ones and a second level.
SIZES = [1, 256, 700]


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it stands there."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root(hashes[:split]), root(hashes[split:]))


def tile_path(level: str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


def write(folder: pathlib.Path, path: str, content: bytes) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def write_log(folder: pathlib.Path, origin: str, entries: list[bytes]) -> None:
    for first in range(0, len(entries), 256):
        some = entries[first : first + 256]
        bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in some)
        write(folder, tile_path("entries", first // 256, len(some)), bundle)

    level, hashes = 0, [leaf(entry) for entry in entries]
    tree_root = root(hashes)
    while hashes:
        for first in range(0, len(hashes), 256):
            some = hashes[first : first + 256]
            write(folder, tile_path(str(level), first // 256, len(some)), b"".join(some))
        # Above stand only the roots of full tiles.
        full = len(hashes) // 256
        level, hashes = level + 1, [root(hashes[i * 256 : i * 256 + 256]) for i in range(full)]

    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(origin.encode()).digest())
    public = b"\x01" + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = hashlib.sha256(origin.encode() + b"\n" + public).digest()[:4]
    text = f"{origin}\n{len(entries)}\n{base64.b64encode(tree_root).decode()}\n"
    signature = base64.b64encode(key_id + key.sign(text.encode())).decode()
    write(folder, "checkpoint", f"{text}\n— {origin} {signature}\n".encode())
    write(folder, "vkey", f"{origin}+{key_id.hex()}+{base64.b64encode(public).decode()}\n".encode())


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for size in SIZES:
        entries = [f"entry #{position}".encode() * (1 + position % 7) for position in range(size)]
        origin = f"member-{size}.example/0123456789abcdef/log/1"
        write_log(pathlib.Path(sys.argv[1], f"made-{size}"), origin, entries)


if __name__ == "__main__":
    main()
