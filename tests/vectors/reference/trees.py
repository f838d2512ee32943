"""Trees, proofs, notes, checkpoints and bundles (docs/protocol.md section 3)."""

import base64
import binascii

from .crypto import sha256, sign, verify
from .wire import Refused, need

EMPTY_ROOT = sha256()


def leaf_hash(entry):
    return sha256(b"\0", entry)


def node_hash(left, right):
    return sha256(b"\1", left, right)


class Tree:
    """Leaves and the root of any range of them; the roots of whole tiles are kept."""

    def __init__(self, leaves):
        self.leaves = leaves
        self.kept = {}

    def root(self, start, end):
        if (start, end) in self.kept:
            return self.kept[start, end]
        if end == start:
            return EMPTY_ROOT
        if end - start == 1:
            return self.leaves[start]
        middle = start + split(end - start)
        root = node_hash(self.root(start, middle), self.root(middle, end))
        self.kept[start, end] = root
        return root

    def subtree_proof(self, start, end, size):
        return self.subproof(start, end, 0, size, True)

    def subproof(self, start, end, low, high, known):
        """SUBPROOF with positions counted from the start of the tree."""
        if (start, end) == (low, high):
            return [] if known else [self.root(low, high)]
        middle = low + split(high - low)
        if end <= middle:
            return self.subproof(start, end, low, middle, known) + [self.root(middle, high)]
        if middle <= start:
            return self.subproof(start, end, middle, high, known) + [self.root(low, middle)]
        return self.subproof(middle, end, middle, high, False) + [self.root(low, middle)]


def split(size):
    """The largest power of two below size."""
    return 1 << (size - 1).bit_length() - 1


def check_subtree(start, end, subtree, size, root, proof):
    width = 1 << (end - start - 1).bit_length() if end > start else 0
    need(width and start % width == 0, "not a subtree")
    need(end <= size, "the subtree ends after the tree")
    need(len(proof) <= 63 and all(len(one) == 32 for one in proof), "not a proof")
    fn, sn, tn = start, end - 1, size - 1
    while fn != sn and (sn == tn or sn & 1):
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    if fn == sn:
        fr = sr = subtree
    else:
        need(proof, "the proof is too short")
        fr = sr = proof[0]
        proof = proof[1:]
    for one in proof:
        need(tn != 0, "the proof is too long")
        if sn & 1 or sn == tn:
            if fn < sn:
                fr = node_hash(one, fr)
            sr = node_hash(one, sr)
            while not sn & 1 and sn:
                fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
        else:
            sr = node_hash(sr, one)
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    need(tn == 0 and fr == subtree and sr == root, "the proof does not hold")


def check_inclusion(leaf, index, size, root, proof):
    need(index < size, "outside of the tree")
    check_subtree(index, index + 1, leaf, size, root, proof)


def bundle(entries):
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def read_bundle(data):
    entries = []
    while data:
        need(len(data) >= 2, "bundle cut off")
        length = int.from_bytes(data[:2], "big")
        need(len(data) >= 2 + length, "bundle cut off")
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    return entries


def origin_of(member, federation_id, epoch):
    return f"{member}/{federation_id.hex()[:16]}/log/{epoch}"


def key_hash(name, public_key):
    return sha256(name.encode(), b"\n\1", public_key)[:4]


def encode64(data):
    return base64.b64encode(data).decode()


def decode64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("not base64") from error
    need(encode64(data) == text, "base64 with stray bits")
    return data


def checkpoint_text(origin, size, root):
    return f"{origin}\n{size}\n{encode64(root)}\n"


def sign_checkpoint(origin, size, root, seed, public_key):
    text = checkpoint_text(origin, size, root)
    signature = key_hash(origin, public_key) + sign(seed, text.encode())
    return f"{text}\n\u2014 {origin} {encode64(signature)}\n"


def is_name(text):
    return text and "+" not in text and not any(one.isspace() or ord(one) < 32 or 127 <= ord(one) < 160 for one in text)


def read_note(note):
    """Text and signatures [(name, key hash, signature)] of a note."""
    need(len(note) <= 65536, "note too long")
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    need(not any(one < " " and one != "\n" for one in text), "control character in a note")
    text, blank, lines = text.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "no signatures")
    signatures = []
    for line in lines[:-1].split("\n"):
        need(line.startswith("\u2014 "), "signature line")
        name, space, data = line[2:].partition(" ")
        data = decode64(data)
        need(space and is_name(name) and len(data) > 4, "signature line")
        signatures.append((name, data[:4], data[4:]))
    need(len(signatures) <= 64, "too many signatures")
    return text + "\n", signatures


def read_checkpoint(note):
    """Origin, size, root, and what checks its signature under a key."""
    text, signatures = read_note(note)
    origin, *lines = text[:-1].split("\n")
    need(is_name(origin) and not origin.startswith("sundbro/"), "origin")
    need(len(lines) >= 2 and all(lines[2:]), "lines of a checkpoint")
    need(lines[0].isascii() and lines[0].isdigit() and str(int(lines[0])) == lines[0], "size")
    size, root = int(lines[0]), decode64(lines[1])
    need(size < 1 << 63 and len(root) == 32, "size or root")
    need(size > 0 or root == EMPTY_ROOT, "root of an empty tree")

    def check(public_key):
        mine = [one for one in signatures if one[:2] == (origin, key_hash(origin, public_key))]
        need(len(mine) == 1, "not signed once by this key")
        verify(public_key, text.encode(), mine[0][2])

    return origin, size, root, check
