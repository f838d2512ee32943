"""Evidence that the writer of a log signed two histories, and files of it (§10)."""

from dataclasses import dataclass

from . import charter, crypto, logs, messages, tables, trees
from .book import Book
from .wire import Refused, decode, encode, require


@dataclass(frozen=True)
class Evidence:
    """Well-formed evidence; nobody's key is asked yet."""

    log_id: bytes
    kind: str  # EQUIVOCATION or LOST_TAIL
    parting: int | None
    entries: tuple = ()  # the two entries, or
    notes: tuple = ()  # the checkpoints of the two sides


# Writing


def in_order(sides, key):
    """a and b."""
    return dict(zip("ab", sorted(sides, key=key)))


def own_line(note):
    """A note with the signature line of its origin and no other."""
    before, blank, after = note.rpartition("\n\n")
    name = before.split("\n")[0]
    lines = [line for line in after.split("\n") if line.startswith(f"{logs.DASH} {name} ")]
    return "".join([before, blank, *(line + "\n" for line in lines)]).encode()


def make_evidence(contradiction, sides, position):
    """sides are entries, notes, or of trees a note with leaf hash and proof, in any order."""
    value = tables.EVIDENCE.empty() | {"format": 1}
    if contradiction == "two_trees":
        value[contradiction] = {"position": position,
                                **in_order(sides, lambda side: side["leaf_hash"])}
    else:
        value[contradiction] = in_order(sides, bytes)
    return encode(tables.EVIDENCE, value)


def digest(data):
    return crypto.sha256(b"sundbro/v1/evidence\n", data)


# What a reader without keys can check


def read_evidence(data):
    evidence = decode(tables.EVIDENCE, data)
    require(evidence["format"] == 1, 10, "format is not 1")
    said = [kind for kind in READERS if evidence[kind] is not None]
    require(len(said) == 1, 10, "not one contradiction")
    (kind,) = said
    two = evidence[kind]
    return READERS[kind](two)


def differ(a, b):
    require(a != b, 10, "both sides say the same")


def ordered(a, b):
    require(a < b, 10, "the sides are not in ascending order")


def one(what, a, b):
    require(a == b, 10, f"the sides are of two {what}")


def _entries(two):
    a, b = two["a"], two["b"]
    headers = [messages.read_header(messages.split_entry(entry)[0]) for entry in (a, b)]
    one("logs", *(header["log_id"] for header in headers))
    one("positions", *(header["position"] for header in headers))
    differ(a, b)
    ordered(a, b)
    starts = {header["incarnation"] for header in headers}
    kind = "LOST_TAIL" if len(starts) == 2 else "EQUIVOCATION"
    return Evidence(headers[0]["log_id"], kind, headers[0]["position"], entries=(a, b))


def _note(note):
    checkpoint = logs.parse_checkpoint(note)
    names = [name for name, _, _ in checkpoint.signatures]
    require(names == [checkpoint.origin], 10, "another signature line than that of the log")
    return checkpoint


def _checkpoints(two):
    a, b = _note(two["a"]), _note(two["b"])
    one("logs", a.origin, b.origin)
    one("sizes", a.size, b.size)
    differ(a.root, b.root)
    ordered(two["a"], two["b"])
    return Evidence(logs.log_id(a.origin), "EQUIVOCATION", None, notes=(a, b))


def _trees(two):
    sides, notes = (two["a"], two["b"]), []
    for side in sides:
        require(side is not None, 10, "a side that is absent")
        note = _note(side["checkpoint"])
        trees.check_inclusion(two["position"], note.size, side["leaf_hash"],
                              side["inclusion_proof"], note.root)
        notes.append(note)
    one("logs", *(note.origin for note in notes))
    leaves = [side["leaf_hash"] for side in sides]
    differ(*leaves)
    ordered(*leaves)
    return Evidence(logs.log_id(notes[0].origin), "EQUIVOCATION", two["position"],
                    notes=tuple(notes))


READERS = {"two_entries": _entries, "two_checkpoints": _checkpoints, "two_trees": _trees}


# Files of evidence


def make_file(charters, followed, data, federation_id):
    """followed is what check_charters makes of the charters."""
    evidence = read_evidence(data)
    versions = {len(followed)}
    for entry in evidence.entries:
        named = messages.read_header(messages.split_entry(entry)[0])["charter_version"]
        versions.add(charter.judging(followed, named))
    name = next(member["name"] for member in map(charter.read_entry, followed[-1]["members"])
                if epoch_of(member, evidence.log_id, federation_id))
    return encode(tables.EVIDENCE_FILE, {
        "format": 1,
        "heads": charter.signed_heads(charters),
        "members": charter.listed_members(followed, {(version, name) for version in versions}),
        "evidence": data,
    })


def epoch_of(member, log_id, federation_id):
    """The epoch of a member's log, or None for a log that is not the member's."""
    for epoch in member["log_epochs"]:
        origin = logs.origin(member["name"], federation_id, epoch["epoch"])
        if logs.log_id(origin) == log_id:
            return epoch["epoch"]
    return None


def read_file(data, federation_id):
    """Verdict and member; federation_id is None for a reader who knows none."""
    file = decode(tables.EVIDENCE_FILE, data)
    require(file["format"] == 1, 10, "format is not 1")
    book = Book(file["heads"], file["members"], federation_id)
    evidence = read_evidence(file["evidence"])
    names = sorted({name for _, name in book.entries})
    owners = [name for name in names
              if epoch_of(book.entries_of(name)[-1], evidence.log_id, book.federation_id)]
    require(owners, 10, "evidence of a log of nobody in the file")
    (name,) = owners
    book.require_newest(name)
    newest = book.entries_of(name)[-1]
    epoch = epoch_of(newest, evidence.log_id, book.federation_id)
    for entry in evidence.entries:
        _check_entry(entry, book, newest, epoch)
    for note in evidence.notes:
        _check_note(note, newest, epoch)
    return ("UNPINNED" if federation_id is None else evidence.kind), name


def _check_entry(entry, book, newest, epoch):
    """As §7 judges an entry, by the version that its header names and by every later `to`."""
    header = messages.read_header(messages.split_entry(entry)[0])
    position = header["position"]
    for judge in (book.entry(header["charter_version"], newest["name"]), newest):
        key = charter.find_key(judge, header["key_id"], charter.TRANSACTION, position, epoch)
    end = newest["log_epochs"][epoch - 1]["end"]
    require(end is None or position < end["size"], 7, "an entry above the end of its log epoch")
    messages.read_entry(entry, key["public_key"], book.federation_id)


def _check_note(note, newest, epoch):
    """A CHECKPOINT key that covers the size in the newest version signed it."""
    fault = Refused(10, "no CHECKPOINT key covers the size")
    for key in newest["keys"]:
        signs = (key["purpose"], key["log_epoch"]) == (charter.CHECKPOINT, epoch)
        if signs and charter.covers(newest, key, note.size):
            try:
                note.check_signature(key["public_key"])
                return
            except Refused as refused:
                fault = refused
    raise fault
