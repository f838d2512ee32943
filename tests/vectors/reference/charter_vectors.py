"""Vectors of the charter and of a retrieval (§7, 9): how values are made and how they are read."""

from . import charter, crypto, logs, retrieval, tables, trees
from .log_vectors import README, File, reads_back, refuse, same, text, unhex
from .wire import Refused, encode, from_json, require

# §7


def make_head(given, state):
    head = from_json(tables.HEAD, given["head"])
    data = encode(tables.HEAD, head)
    digest = charter.digest(data)
    if head["version"] == 1:
        state["federation_id"] = digest
    state[digest] = head, data
    # Under version 1 stand 32 zero bytes, under others the digest of version 1 (§2).
    under = charter.signing_id(head["version"], state["federation_id"])
    same("signed_under", given["signed_under"], under.hex())
    keys, signatures = charter.keys_of(head), []
    for signer in given["signers"]:
        (seed,) = unhex(signer, "seed")
        same("a signer's key", crypto.public_key(seed), keys[signer["ordinal"]])
        signatures.append(crypto.sign(seed, "charter", under, data))
    return {"head": data, "digest": digest, "signatures": signatures}


def read_head(given, values, state):
    head = charter.read_head(values["head"])
    reads_back(tables.HEAD, head, given["head"])
    same("digest", values["digest"], charter.digest(values["head"]))
    before = None
    if head["version"] > 1:
        before, before_bytes = state[head["previous"][0]]
        charter.check_follows(before_bytes, before, head, charter.keys_of(before).keys())
    ordinals = [signer["ordinal"] for signer in given["signers"]]
    same("number of signatures", len(values["signatures"]), len(ordinals))
    signatures = [{"ordinal": ordinal, "signature": signature}
                  for ordinal, signature in zip(ordinals, values["signatures"])]
    charter.check_head_signatures(
        before, values["head"], head, signatures, state["federation_id"])


def make_member_entry(given, _):
    data = encode(tables.ENTRY, from_json(tables.ENTRY, given["entry"]))
    return {"entry": data, "leaf_hash": trees.leaf(data)}


def read_member_entry(given, values, _):
    reads_back(tables.ENTRY, charter.read_entry(values["entry"]), given["entry"])
    same("leaf_hash", values["leaf_hash"], trees.leaf(values["entry"]))


def make_members_root(given, _):
    entries = [bytes.fromhex(entry) for entry in given["entries"]]
    return {"members_count": str(len(entries)), "members_root": charter.members_root(entries)}


def read_members_root(given, values, _):
    count = values["members_count"].decode(errors="replace")
    require(logs.SIZE.fullmatch(count), README, "members_count is no number")
    head = {"members_count": int(count), "members_root": values["members_root"]}
    charter.check_members(head, [bytes.fromhex(entry) for entry in given["entries"]])


def make_card(given, _):
    entry, federation_id = unhex(given, "entry", "federation_id")
    keys, signatures = charter.signing_keys(charter.read_entry(entry)), []
    for signer in given["signers"]:
        (seed,) = unhex(signer, "seed")
        same("a signer's key", crypto.public_key(seed), keys[signer["key_id"]])
        signed = crypto.sign(seed, "member-card", federation_id, entry)
        signatures.append((signer["key_id"], signed))
    return {"card": charter.make_card(entry, signatures),
            "signatures": [signature for _, signature in signatures]}


def read_card(given, values, _):
    card = charter.read_card(values["card"], *unhex(given, "federation_id"))
    same("entry", card["entry"].hex(), given["entry"])
    same("signatures", values["signatures"], [s["signature"] for s in card["signatures"]])


def refuse_card(item):
    charter.read_card(*unhex(item, "bytes", "federation_id"))


# §9


def signed_message(kind):
    """The file of one of the four messages, whose purpose has the same name."""
    table, reader = retrieval.READERS[kind]

    def make(given, _):
        seed, federation_id = unhex(given, "seed", "federation_id")
        data = encode(table, from_json(table, given["message"]))
        return {"message": data, "digest": crypto.sha256(data),
                "signature": crypto.sign(seed, kind, federation_id, data),
                "public_key": crypto.public_key(seed)}

    def read(given, values, _):
        message = retrieval.read_signed(kind, values["message"], values["signature"],
                                        values["public_key"], *unhex(given, "federation_id"))
        reads_back(table, message, given["message"])
        same("digest", values["digest"], crypto.sha256(values["message"]))

    return File({"federation_id", "message", "seed"}, make, read, refuse(reader))


SIGNED = ("request", "grant", "completion", "acknowledgement")


def known_id(given):
    """The federation id that the reader knows; None for one who knows none."""
    return given["federation_id"] and bytes.fromhex(given["federation_id"])


def whole_charters(given):
    return [{
        "head": bytes.fromhex(version["head"]),
        "members": [bytes.fromhex(entry) for entry in version["members"]],
        "signatures": [{"ordinal": signature["ordinal"],
                        "signature": bytes.fromhex(signature["signature"])}
                       for signature in version["signatures"]],
    } for version in given["charters"]]


def make_receipt(given, _):
    federation_id = known_id(given)
    charters = whole_charters(given)
    known = federation_id or charter.digest(charters[0]["head"])
    followed = charter.check_charters(charters, known)
    signed = {kind: given[kind] and from_json(tables.SIGNED, given[kind]) for kind in SIGNED}
    blobs = [bytes.fromhex(given[name] or "") for name in ("payload_blob", "detail_blob")]
    receipt = retrieval.make_receipt(charters, followed, signed, *blobs)
    same("verdict without an id", retrieval.read_receipt(receipt, None), "UNPINNED")
    return {"receipt": receipt, "verdict": retrieval.read_receipt(receipt, federation_id)}


def read_receipt(given, values, _):
    verdict = retrieval.read_receipt(values["receipt"], known_id(given))
    same("verdict", values["verdict"], verdict.encode())


def refuse_receipt(item):
    reader = retrieval.Reader(*unhex(item, "bytes", "federation_id"))
    try:
        reader.verdict()
    except Refused as refused:
        if reader.step != item["step"]:
            raise ValueError(f"refused in step {reader.step}: {refused}") from None
        raise


# The files of the README's table

FILES = {
    "charter_head.json": File({"head", "signed_under", "signers"}, make_head, read_head,
                              refuse(charter.read_head)),
    "member_entry.json": File({"entry"}, make_member_entry, read_member_entry,
                              refuse(charter.read_entry), accepts=True),
    "members_root.json": File({"entries"}, make_members_root, read_members_root,
                              text=text("members_count")),
    "member_card.json": File({"entry", "federation_id", "signers"}, make_card, read_card,
                             refuse_card, told=frozenset({"federation_id"})),
    **{f"{kind}.json": signed_message(kind) for kind in SIGNED},
    "receipt.json": File({*SIGNED, "charters", "detail_blob", "federation_id", "payload_blob"},
                         make_receipt, read_receipt, refuse_receipt,
                         told=frozenset({"federation_id", "step"}), text=text("verdict")),
}
