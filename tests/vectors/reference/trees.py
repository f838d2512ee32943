"""Trees of RFC 6962 and the proofs that a part stands in the whole (§3)."""

from .crypto import sha256
from .wire import require

EMPTY_ROOT = sha256()
MOST_ENTRIES = 2**63 - 1
MOST_HASHES = 64  # 63 of an inclusion proof: its length follows from the size


def leaf(entry):
    return sha256(b"\x00", entry)


def node(left, right):
    return sha256(b"\x01", left, right)


def below(n):
    """The largest power of two below n, for n of 2 or more."""
    return 1 << (n - 1).bit_length() - 1


class Tree:
    """The hashes of a list of leaf hashes, D in the RFC."""

    def __init__(self, leaves):
        self.leaves = list(leaves)
        self._roots = {}

    def root(self, start=0, end=None):
        """MTH(D[start:end])."""
        end = len(self.leaves) if end is None else end
        if end == start:
            return EMPTY_ROOT
        if end - start == 1:
            return self.leaves[start]
        if (start, end) not in self._roots:
            middle = start + below(end - start)
            self._roots[start, end] = node(self.root(start, middle), self.root(middle, end))
        return self._roots[start, end]

    def inclusion_proof(self, index, size=None):
        """PATH(index, D[0:size]) of RFC 6962 §2.1.1, without recursion."""
        start, end = 0, len(self.leaves) if size is None else size
        proof = []
        while end - start > 1:
            middle = start + below(end - start)
            if index < middle:
                proof.append(self.root(middle, end))
                end = middle
            else:
                proof.append(self.root(start, middle))
                start = middle
        return proof[::-1]

    def subtree_proof(self, start, end, size=None):
        """SUBPROOF(start, end, D[0:size], true)."""
        size = len(self.leaves) if size is None else size
        return self._subproof(start, end, 0, size, True)

    def _subproof(self, start, end, offset, n, known):
        """SUBPROOF of D[offset : offset + n]; start and end count from the offset."""
        if start == 0 and end == n:
            return [] if known else [self.root(offset, offset + n)]
        k = below(n)
        left, right = (offset, offset + k), (offset + k, offset + n)
        if end <= k:
            return self._subproof(start, end, offset, k, known) + [self.root(*right)]
        if k <= start:
            deeper = self._subproof(start - k, end - k, offset + k, n - k, known)
            return deeper + [self.root(*left)]
        assert start == 0
        return self._subproof(0, end - k, offset + k, n - k, False) + [self.root(*left)]


def is_subtree(start, end):
    if not 0 <= start < end:
        return False
    size = 1 << (end - start - 1).bit_length()  # smallest power of two not below end - start
    return start % size == 0


def check_subtree(start, end, n, subtree_hash, proof, root):
    """The five steps of §3 that check a subtree consistency proof."""
    require(n <= MOST_ENTRIES, 3, "a tree of too many entries")
    require(len(proof) <= MOST_HASHES, 3, "a proof of too many hashes")
    require(is_subtree(start, end), 3, "a range that is not a subtree")  # 1
    require(end <= n, 3, "a range that ends after the tree")
    fn, sn, tn = start, end - 1, n - 1
    if sn == tn:  # 2
        while fn != sn:
            fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    else:
        while fn != sn and sn % 2 == 1:
            fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    rest = list(proof)
    if fn == sn:  # 3
        fr = sr = subtree_hash
    else:
        require(rest, 3, "a proof that is too short")
        fr = sr = rest.pop(0)
    for p in rest:  # 4
        require(tn != 0, 3, "a proof that is too long")
        if sn % 2 == 1 or sn == tn:
            if fn < sn:
                fr = node(p, fr)
            sr = node(p, sr)
            while sn % 2 == 0 and sn != 0:
                fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
        else:
            sr = node(sr, p)
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    require(tn == 0, 3, "a proof that is too short")  # 5
    require(fr == subtree_hash and sr == root, 3, "a proof that does not lead to the root")


def check_inclusion(index, n, leaf_hash, proof, root):
    """An inclusion proof is the proof of the subtree of one leaf (§3)."""
    require(index < n, 3, "a position after the end of the tree")
    check_subtree(index, index + 1, n, leaf_hash, proof, root)
