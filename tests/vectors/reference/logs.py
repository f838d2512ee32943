"""Logs as others see them: origins, checkpoints, bundles and chunks (§3)."""

import base64
import binascii
import re
from dataclasses import dataclass

from . import crypto, messages, tables, trees
from .wire import Refused, decode, encode, require

DASH = "\u2014"
SIZE = re.compile(r"0|[1-9][0-9]*")
SIGNATURE_TYPE = b"\x01"


def origin(member, federation_id, epoch):
    return f"{member}/{federation_id.hex()[:16]}/log/{epoch}"


def log_id(origin_text):
    return crypto.sha256(origin_text.encode())


def key_hash(name, public_key):
    return crypto.sha256(name.encode(), b"\n", SIGNATURE_TYPE, public_key)[:4]


def verifier_key(name, public_key):
    """The key as other software takes it."""
    return f"{name}+{key_hash(name, public_key).hex()}+{to_base64(SIGNATURE_TYPE + public_key)}"


def to_base64(data):
    return base64.b64encode(data).decode()


def from_base64(encoded):
    """The bytes, or None; stray bits at the end are refused."""
    try:
        data = base64.b64decode(encoded.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if to_base64(data) == encoded else None


# Checkpoints


def make_checkpoint(name, size, root, seed):
    text = f"{name}\n{size}\n{to_base64(root)}\n"
    signature = key_hash(name, crypto.public_key(seed)) + crypto.sign_raw(seed, text.encode())
    return f"{text}\n{DASH} {name} {to_base64(signature)}\n".encode()


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    text: bytes  # what is signed
    signatures: tuple  # of name, key hash, signature

    def check_signature(self, public_key):
        """One signature by this key under the origin's name, and it holds."""
        wanted = self.origin, key_hash(self.origin, public_key)
        found = [signature for name, hashed, signature in self.signatures
                 if (name, hashed) == wanted]
        require(found, 3, "a note without a signature by this key")
        require(len(found) == 1, 3, "a note that the key signs twice")
        require(len(found[0]) == 64, 3, "a signature of another length")
        crypto.verify_raw(public_key, found[0], self.text)


def _signature_line(line):
    require(line.startswith(f"{DASH} "), 3, "a signature line without its dash")
    name, space, encoded = line[2:].partition(" ")
    holds = name and "+" not in name and not any(c.isspace() or _control(c) for c in name)
    require(holds, 3, "a key name that is none")
    data = from_base64(encoded) if space else None
    require(data is not None and len(data) > 4, 3, "a signature that is not base64 of one")
    return name, data[:4], data[4:]


def _control(character):
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0


def parse_checkpoint(note):
    """A checkpoint whose signatures are still to be checked."""
    require(len(note) <= 65_536, 3, "a note of more than 65,536 bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise Refused(3, "a note that is not UTF-8") from None
    holds = all(c >= " " or c == "\n" for c in whole)
    require(holds, 3, "a note with control characters")
    before, blank, after = whole.rpartition("\n\n")
    require(blank and after.endswith("\n"), 3, "a note without signatures")
    text, lines = before + "\n", after[:-1].split("\n")
    require(len(lines) <= 64, 3, "a note with more than 64 signatures")
    signatures = tuple(_signature_line(line) for line in lines)

    # No other signature of ours may be over the same bytes (§2).
    require(not text.startswith("sundbro/"), 2, "a note that begins like our other signatures")
    lines = text[:-1].split("\n")
    require(len(lines) >= 3, 3, "a checkpoint of fewer than three lines")
    require(all(lines), 3, "a checkpoint with an empty line")
    name, size, root = lines[0], lines[1], from_base64(lines[2])
    require(SIZE.fullmatch(size), 3, "a size that is no number, or has a leading zero")
    require(len(size) <= 19 and int(size) <= trees.MOST_ENTRIES, 3, "a size above 2^63 - 1")
    require(root is not None and len(root) == 32, 3, "a root that is not base64 of 32 bytes")
    empty = int(size) != 0 or root == trees.EMPTY_ROOT
    require(empty, 3, "a tree of size 0 without the empty root")
    return Checkpoint(name, int(size), root, text.encode(), signatures)


def read_checkpoint(note, public_key):
    checkpoint = parse_checkpoint(note)
    checkpoint.check_signature(public_key)
    return checkpoint


# Bundles and chunks

TILE = 256


def make_bundle(entries):
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def read_bundle(bundle):
    require(bundle, 3, "a bundle without an entry")
    require(len(bundle) <= 1_048_576, 3, "a bundle of more than 1,048,576 bytes")
    entries, at = [], 0
    while at < len(bundle):
        require(at + 2 <= len(bundle), 3, "a bundle that ends within a length")
        length = int.from_bytes(bundle[at : at + 2], "big")
        at += 2
        require(at + length <= len(bundle), 3, "a bundle that ends within an entry")
        entries.append(bundle[at : at + length])
        at += length
    return entries


def chunk_range(start, tree_size):
    """tile and end of the chunk that begins at start."""
    tile = start - start % TILE
    return tile, min(tile + TILE, tree_size)


def make_chunk(identifier, entries, start, tree_size):
    """The chunk that answers from start on, with the entries of the whole tree at hand."""
    tile, end = chunk_range(start, tree_size)
    tree = trees.Tree(trees.leaf(entry) for entry in entries[:tree_size])
    return encode(tables.CHUNK, {
        "log_id": identifier,
        "start": start,
        "tree_size": tree_size,
        "bundle": make_bundle(entries[start:end]),
        "proof": tree.subtree_proof(tile, end),
        "checkpoint": b"",
    })


def read_chunk(data, checkpoint, known, transaction_key, federation_id):
    """The chunk and its entries; known is what the receiver has before them.

    That is the leaf hash of the entry before, and the leaf hashes from the tile to the start.
    """
    chunk = decode(tables.CHUNK, data)
    require(chunk["log_id"] == log_id(checkpoint.origin), 3, "a chunk of another log")
    require(chunk["tree_size"] == checkpoint.size, 3, "a chunk of another tree")
    start = chunk["start"]
    require(start < checkpoint.size, 3, "a chunk that begins after the tree")
    tile, end = chunk_range(start, checkpoint.size)
    entries = read_bundle(chunk["bundle"])
    require(start + len(entries) == end, 3, "a chunk that ends elsewhere")
    previous, leaves = known
    require(len(leaves) == start - tile, 3, "a chunk that begins elsewhere than asked")
    leaves = [*leaves, *map(trees.leaf, entries)]
    root = trees.Tree(leaves).root()  # until this holds, what is wrong is the sender's fault
    trees.check_subtree(tile, end, checkpoint.size, root, chunk["proof"], checkpoint.root)
    last = None
    for position, entry in enumerate(entries, start):
        header = messages.read_entry(entry, transaction_key, federation_id)
        require(header["log_id"] == chunk["log_id"], 4, "an entry of another log")
        require(header["position"] == position, 4, "an entry at another position")
        require(header["previous_leaf"] == previous, 4, "an entry after another one")
        for name in ("charter_version", "key_id", "incarnation"):
            falls = last is not None and header[name] < last[name]
            require(not falls, 4, f"{name} decreases in a log")
        last, previous = header, trees.leaf(entry)
    return chunk, entries
