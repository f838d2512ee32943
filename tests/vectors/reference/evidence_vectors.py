"""Vectors of evidence and of files of it (§10): how values are made and how they are read."""

from . import charter, evidence
from .charter_vectors import known_id, whole_charters
from .log_vectors import File, refuse, same, text, unhex


def side_of(side):
    if "entry" in side:
        return bytes.fromhex(side["entry"])
    note = evidence.own_line(side["note"])
    if "leaf_hash" not in side:
        return note
    return {"checkpoint": note, "leaf_hash": bytes.fromhex(side["leaf_hash"]),
            "inclusion_proof": [bytes.fromhex(one) for one in side["inclusion_proof"]]}


def said_of(data):
    """What the evidence says, as the vectors name it."""
    read = evidence.read_evidence(data)
    said = {"digest": evidence.digest(data), "log_id": read.log_id, "kind": read.kind}
    # Two roots of one size do not tell where the histories part.
    return said if read.parting is None else said | {"parting": str(read.parting)}


def make_evidence(given, _):
    position = given["position"] and int(given["position"])
    sides = [side_of(side) for side in given["sides"]]
    data = evidence.make_evidence(given["contradiction"], sides, position)
    return {"evidence": data, **said_of(data)}


def read_evidence(_given, values, _):
    said = said_of(values["evidence"])
    for name in ("kind", "parting"):
        if name in said:
            said[name] = said[name].encode()
    for name, value in said.items():
        same(name, values.get(name), value)
    same("what is said", values.keys(), said.keys() | {"evidence"})


def make_file(given, _):
    (data,) = unhex(given, "evidence")
    charters = whole_charters(given)
    federation_id = known_id(given) or charter.digest(charters[0]["head"])
    followed = charter.check_charters(charters, federation_id)
    file = evidence.make_file(charters, followed, data, federation_id)
    same("verdict without an id", evidence.read_file(file, None)[0], "UNPINNED")
    verdict, member = evidence.read_file(file, known_id(given))
    return {"file": file, "verdict": verdict, "member": member}


def read_file(given, values, _):
    verdict, member = evidence.read_file(values["file"], known_id(given))
    same("verdict", values["verdict"], verdict.encode())
    same("member", values["member"], member.encode())


def refuse_file(item):
    evidence.read_file(*unhex(item, "bytes", "federation_id"))


# The files of the README's table

FILES = {
    "evidence.json": File({"contradiction", "position", "sides"}, make_evidence, read_evidence,
                          refuse(evidence.read_evidence), text=text("kind", "parting")),
    "evidence_file.json": File({"charters", "evidence", "federation_id"}, make_file, read_file,
                               refuse_file, told=frozenset({"federation_id"}),
                               text=text("member", "verdict")),
}
