"""Vectors of logs and what stands in them (§3-6, 8): how values are made and how they are read."""

import json
from dataclasses import dataclass

from . import crypto, logs, messages, tables, trees
from .wire import Refused, encode, from_json, require, to_json

README = "README"


@dataclass(frozen=True)
class File:
    """make(input, state) gives every expected value; read(input, values, state) takes the expected
    values as a reader does, who has no secret key but that of a recipient; judge(item) reads what
    stands under `accepted` and `refused`. state is shared by the cases of one file, in order."""

    inputs: set
    make: object
    read: object = None
    judge: object = None
    accepts: bool = False  # whether the file has items that are accepted
    told: frozenset = frozenset()  # what stands beside their bytes
    text: frozenset = frozenset()  # expected values that are not hex


def same(name, left, right):
    require(left == right, README, f"{name} is another")


def reads_back(message, value, given):
    """A value that was read is the object that was written."""
    same(message.name, to_json(message, value), given)


def unhex(given, *names):
    return [bytes.fromhex(given[name]) for name in names]


def refuse(reader):
    return lambda item: reader(bytes.fromhex(item["bytes"]))


def text(*names):
    return frozenset(names)


# §4


def make_header(given, _):
    return {"bytes": encode(tables.HEADER, from_json(tables.HEADER, given["header"]))}


def read_header(given, values, _):
    reads_back(tables.HEADER, messages.read_header(values["bytes"]), given["header"])


def make_entry(given, state):
    seed, federation_id = unhex(given, "seed", "federation_id")
    entry = messages.make_entry(make_header(given, state)["bytes"], seed, federation_id)
    return {"entry": entry, "leaf_hash": trees.leaf(entry), "public_key": crypto.public_key(seed)}


def read_entry(given, values, _):
    (federation_id,) = unhex(given, "federation_id")
    header = messages.read_entry(values["entry"], values["public_key"], federation_id)
    reads_back(tables.HEADER, header, given["header"])
    same("leaf_hash", values["leaf_hash"], trees.leaf(values["entry"]))


def refuse_entry(item):
    try:
        messages.read_entry(*unhex(item, "bytes", "public_key", "federation_id"))
    except Refused as refused:
        if refused.section != str(item["section"]):
            raise ValueError(f"refused by {refused}") from None
        raise


# §5


def make_blob(given, _):
    salt, body = unhex(given, "salt", "body")
    blob = messages.make_blob(salt, body, given["audience"])
    return {"blob": blob, "payload_commitment": messages.payload_commitment(blob),
            "detail_commitment": messages.detail_commitment(blob)}


def read_blob(given, values, _):
    blob = values["blob"]
    same("payload_commitment", values["payload_commitment"], messages.payload_commitment(blob))
    same("detail_commitment", values["detail_commitment"], messages.detail_commitment(blob))
    same("body", messages.read_blob(blob, given["audience"]).hex(), given["body"])


def refuse_blob(item):
    messages.read_blob(bytes.fromhex(item["bytes"]), item["audience"])


# §6


def make_payload(given, _):
    body = encode(tables.PAYLOAD, from_json(tables.PAYLOAD, given["payload"]))
    blob = messages.make_blob(*unhex(given, "salt"), body, messages.FEDERATION)
    return {"body": body, "blob": blob, "commitment": messages.payload_commitment(blob)}


def read_payload(given, values, _):
    same("commitment", values["commitment"], messages.payload_commitment(values["blob"]))
    body = messages.read_blob(values["blob"], messages.FEDERATION)
    same("body", values["body"], body)
    kind, message = messages.read_payload(body)
    (name, written), = given["payload"].items()
    (field,) = [field for field in tables.PAYLOAD.fields if field.number == kind]
    same("kind", field.name, name)
    reads_back(field.kind, message, written)


def observed_heads(given, name):
    return [from_json(tables.OBSERVED_HEAD, head) for head in given[name]]


def make_observation(given, _):
    before, changed = observed_heads(given, "before"), observed_heads(given, "changed")
    count, root = messages.heads_after(before, changed)
    said = {"heads_root": root, "heads_count": count, "changed": changed}
    body = encode(tables.PAYLOAD, tables.PAYLOAD.empty() | {"observation": said})
    return {"body": body, "heads_count": str(count), "heads_root": root}


def read_observation(given, values, _):
    kind, said = messages.read_payload(values["body"])
    same("kind", kind, 80)
    same("heads_root", said["heads_root"], values["heads_root"])
    same("heads_count", str(said["heads_count"]).encode(), values["heads_count"])
    count, root = messages.heads_after(observed_heads(given, "before"), said["changed"])
    require((said["heads_count"], said["heads_root"]) == (count, root), 6,
            "heads that do not follow")


def make_detail(given, _):
    detail = from_json(tables.DETAIL, given["detail"])
    body = encode(tables.DETAIL, detail)
    blob = messages.make_blob(*unhex(given, "salt"), body, messages.detail_padding(detail))
    return {"body": body, "blob": blob, "commitment": messages.detail_commitment(blob)}


def read_detail(given, values, _):
    same("commitment", values["commitment"], messages.detail_commitment(values["blob"]))
    same("body", values["body"], messages.read_body(values["blob"]))
    detail = messages.read_detail(values["body"])
    messages.read_blob(values["blob"], messages.detail_padding(detail))
    reads_back(tables.DETAIL, detail, given["detail"])


def make_object_id(given, _):
    id_key, source_key = unhex(given, "id_key", "source_key")
    return {"id": messages.make_object_id(
        id_key, given["adapter"], source_key, given["generation"])}


# §8


def make_tag(given, _):
    (key,) = unhex(given, "key")
    return {"tag": messages.subject_tag(key, given["system"], given["value"]),
            "key_commitment": messages.key_commitment(given["epoch"], key)}


def make_key_grant(given, _):
    federation_id, secret, subject_key, material = unhex(
        given, "federation_id", "recipient_secret_key", "subject_key", "ephemeral_ikm")
    recipient = crypto.x25519_public_key(secret)
    grant = messages.make_key_grant(federation_id, given["epoch"], given["recipient"], recipient,
                                    given["sealing_key_id"], subject_key, material)
    info = messages.key_grant_info(federation_id, given["epoch"], given["recipient"])
    enc, ciphertext = crypto.seal(recipient, info, subject_key, material)
    return {"grant": grant, "info": info, "enc": enc, "ciphertext": ciphertext,
            "recipient_public_key": recipient}


def read_key_grant(given, values, _):
    federation_id, secret, subject_key = unhex(
        given, "federation_id", "recipient_secret_key", "subject_key")
    commitments = {given["epoch"]: messages.key_commitment(given["epoch"], subject_key)}
    messages.open_key_grant(values["grant"], federation_id, given["recipient"],
                            given["sealing_key_id"], secret, commitments)
    opened = crypto.open_sealed(secret, values["enc"], values["info"], values["ciphertext"])
    same("key", opened, subject_key)
    same("public key", values["recipient_public_key"], crypto.x25519_public_key(secret))


def refuse_key_grant(item):
    grant, federation_id, secret, commitment = unhex(
        item, "bytes", "federation_id", "recipient_secret_key", "key_commitment")
    messages.open_key_grant(grant, federation_id, item["recipient"], item["sealing_key_id"],
                            secret, {item["epoch"]: commitment})


# §3


def make_checkpoint(given, _):
    federation_id, root, seed = unhex(given, "federation_id", "root", "seed")
    origin = logs.origin(given["member"], federation_id, given["epoch"])
    public_key = crypto.public_key(seed)
    return {
        "origin": origin,
        "log_id": logs.log_id(origin),
        "public_key": public_key,
        "key_hash": logs.key_hash(origin, public_key),
        "verifier_key": logs.verifier_key(origin, public_key),
        "note": logs.make_checkpoint(origin, int(given["size"]), root, seed).decode(),
    }


def read_checkpoint(given, values, _):
    checkpoint = logs.read_checkpoint(values["note"], values["public_key"])
    read = checkpoint.origin, str(checkpoint.size), checkpoint.root.hex()
    origin = values["origin"].decode(errors="replace")
    same("checkpoint", read, (origin, given["size"], given["root"]))
    same("log_id", values["log_id"], logs.log_id(origin))
    same("key_hash", values["key_hash"], logs.key_hash(origin, values["public_key"]))
    key = logs.verifier_key(origin, values["public_key"])
    same("verifier_key", values["verifier_key"], key.encode())


def refuse_checkpoint(item):
    logs.read_checkpoint(*unhex(item, "bytes", "public_key"))


LOG_SIZE = 600


def log_of(given, state):
    """The log of 600 entries that the input describes, its id and its origin."""
    case = ("member", "federation_id", "epoch", "header", "transaction_seed")
    key = json.dumps([given[name] for name in case], sort_keys=True)
    if key not in state:
        federation_id, seed = unhex(given, "federation_id", "transaction_seed")
        origin = logs.origin(given["member"], federation_id, given["epoch"])
        header = from_json(tables.HEADER, given["header"])
        header["log_id"], previous, entries = logs.log_id(origin), messages.ZERO, []
        for position in range(LOG_SIZE):
            commitment = crypto.sha256(position.to_bytes(8, "big"))
            header |= {"position": position, "previous_leaf": previous,
                       "payload_commitment": commitment}
            entries.append(messages.make_entry(
                encode(tables.HEADER, header), seed, federation_id))
            previous = trees.leaf(entries[-1])
        state[key] = entries, header["log_id"], origin
    return state[key]


def make_chunk(given, state):
    entries, log_id, origin = log_of(given, state)
    start, size = int(given["start"]), int(given["tree_size"])
    tile, end = logs.chunk_range(start, size)
    tree = trees.Tree(trees.leaf(entry) for entry in entries[:size])
    note = logs.make_checkpoint(origin, size, tree.root(), *unhex(given, "checkpoint_seed"))
    return {"bundle": logs.make_bundle(entries[start:end]), "end": str(end),
            "proof": tree.subtree_proof(tile, end), "checkpoint": note.decode(),
            "chunk": logs.make_chunk(log_id, entries, start, size)}


def read_chunk(given, values, state):
    entries, log_id, _ = log_of(given, state)
    federation_id, *seeds = unhex(
        given, "federation_id", "checkpoint_seed", "transaction_seed")
    checkpoint_key, transaction_key = map(crypto.public_key, seeds)
    start = int(given["start"])
    tile, end = logs.chunk_range(start, int(given["tree_size"]))
    leaves = [trees.leaf(entry) for entry in entries[:start]]
    known = (leaves[-1] if leaves else messages.ZERO), leaves[tile:]
    checkpoint = logs.read_checkpoint(values["checkpoint"], checkpoint_key)
    same("log_id", logs.log_id(checkpoint.origin), log_id)
    chunk, _ = logs.read_chunk(
        values["chunk"], checkpoint, known, transaction_key, federation_id)
    same("bundle", values["bundle"], chunk["bundle"])
    same("proof", values["proof"], chunk["proof"])
    same("end", values["end"], str(end).encode())


def refuse_chunk(item):
    chunk, checkpoint_key, public_key, federation_id = unhex(
        item, "bytes", "checkpoint_key", "public_key", "federation_id")
    checkpoint = logs.read_checkpoint(item["checkpoint"].encode(), checkpoint_key)
    logs.read_chunk(chunk, checkpoint, (messages.ZERO, []), public_key, federation_id)


def subtree_of(given, state):
    start, end, size = (int(given[name]) for name in ("start", "end", "size"))
    if size not in state:
        state[size] = trees.Tree(
            trees.leaf(number.to_bytes(8, "big")) for number in range(size))
    return start, end, size, state[size]


def make_subtree(given, state):
    start, end, _, tree = subtree_of(given, state)
    return {"root": tree.root(), "subtree_hash": tree.root(start, end),
            "subtree_proof": tree.subtree_proof(start, end),
            "inclusion_proof_of_start": tree.inclusion_proof(start)}


def read_subtree(given, values, state):
    start, end, size, tree = subtree_of(given, state)
    same("subtree_hash", values["subtree_hash"], tree.root(start, end))
    trees.check_subtree(
        start, end, size, values["subtree_hash"], values["subtree_proof"], values["root"])
    trees.check_inclusion(start, size, tree.leaves[start],
                          values["inclusion_proof_of_start"], values["root"])


def refuse_subtree(item):
    proof, subtree_hash, root = unhex(item, "bytes", "subtree_hash", "root")
    start, end, size = (int(item[name]) for name in ("start", "end", "size"))
    hashes = [proof[at : at + 32] for at in range(0, len(proof), 32)]
    trees.check_subtree(start, end, size, subtree_hash, hashes, root)


# The files of the README's table

FILES = {
    "header.json": File({"header"}, make_header, read_header, refuse(messages.read_header)),
    "entry.json": File({"federation_id", "header", "seed"}, make_entry, read_entry, refuse_entry,
                       told=frozenset({"federation_id", "public_key", "section"})),
    "blob.json": File({"audience", "body", "salt"}, make_blob, read_blob, refuse_blob,
                      told=frozenset({"audience"})),
    "payload.json": File({"payload", "salt"}, make_payload, read_payload,
                         refuse(messages.read_payload), accepts=True),
    "observation.json": File({"before", "changed"}, make_observation, read_observation,
                             text=text("heads_count")),
    "detail.json": File({"detail", "salt"}, make_detail, read_detail,
                        refuse(messages.read_detail)),
    "object_id.json": File({"adapter", "generation", "id_key", "source_key"}, make_object_id),
    "tag.json": File({"epoch", "key", "system", "value"}, make_tag),
    "key_grant.json": File(
        {"ephemeral_ikm", "epoch", "federation_id", "recipient", "recipient_secret_key",
         "sealing_key_id", "subject_key"}, make_key_grant, read_key_grant, refuse_key_grant,
        told=frozenset({"epoch", "federation_id", "key_commitment", "recipient",
                        "recipient_secret_key", "sealing_key_id"})),
    "checkpoint.json": File(
        {"epoch", "federation_id", "member", "root", "seed", "size"}, make_checkpoint,
        read_checkpoint, refuse_checkpoint, accepts=True, told=frozenset({"public_key"}),
        text=text("note", "origin", "verifier_key")),
    "chunk.json": File(
        {"checkpoint_seed", "epoch", "federation_id", "header", "member", "start",
         "transaction_seed", "tree_size"}, make_chunk, read_chunk, refuse_chunk,
        told=frozenset({"checkpoint", "checkpoint_key", "federation_id", "public_key"}),
        text=text("checkpoint", "end")),
    "subtree.json": File({"end", "size", "start"}, make_subtree, read_subtree, refuse_subtree,
                         told=frozenset({"end", "root", "size", "start", "subtree_hash"})),
}
