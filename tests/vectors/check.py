"""Recomputes every golden vector of this folder, by what docs/protocol.md says and no code of ours.

Each file gets one line. For each case three things are checked: what the input gives is what is expected; a reader
who has no secret key accepts the expected bytes; and the same reader refuses them after any one of many flipped
bits. Bytes that are listed under `refused` are refused.

    check.py [FOLDER]       the folder of the .json files; without it, the one of this script
"""

import json
import sys
from pathlib import Path

from reference import receipts, rules, wire
from reference.crypto import (
    admit,
    bound,
    hpke_open,
    hpke_seal,
    mac,
    prefixed,
    public_key,
    sha256,
    sign,
    verify,
    x25519_public,
)
from reference.trees import (
    Tree,
    bundle,
    check_inclusion,
    check_subtree,
    encode64,
    key_hash,
    leaf_hash,
    origin_of,
    read_bundle,
    read_checkpoint,
    sign_checkpoint,
)
from reference.wire import Refused, decode, encode, need

# At most this many bits are flipped in one value: every byte of most, a sample of the longest.
FLIPS = 160


def raw(given, name):
    return bytes.fromhex(given[name])


def same(found, expected):
    need(found == expected, "another value than expected")


# Every file has a maker (input -> expected) and a reader (input without secrets, expected -> nothing, or Refused).


def make_header(given):
    return {"bytes": encode(wire.HEADER, given["header"]).hex()}


def read_header(given, said):
    same(rules.header(raw(said, "bytes")), given["header"])


def make_entry(given):
    header = encode(wire.HEADER, given["header"])
    entry = header + sign(raw(given, "seed"), bound("transaction", raw(given, "federation_id"), header))
    public = public_key(raw(given, "seed"))
    return {"public_key": public.hex(), "entry": entry.hex(), "leaf_hash": leaf_hash(entry).hex()}


def read_entry(given, said):
    entry, public = raw(said, "entry"), raw(said, "public_key")
    header = entry[:-64]
    same(rules.header(header), given["header"])
    admit(public)
    verify(public, bound("transaction", raw(given, "federation_id"), header), entry[-64:])
    same(leaf_hash(entry), raw(said, "leaf_hash"))


def make_blob(given):
    blob = rules.make_blob(raw(given, "salt"), raw(given, "body"), given["audience"])
    commitments = {f"{kind}_commitment": rules.commitment(kind, blob).hex() for kind in ("payload", "detail")}
    return {"blob": blob.hex(), **commitments}


def read_blob(given, said):
    blob = raw(said, "blob")
    same(rules.read_blob(blob, given["audience"]), (raw(given, "salt"), raw(given, "body")))
    for kind in ("payload", "detail"):
        same(rules.commitment(kind, blob), raw(said, f"{kind}_commitment"))


def make_payload(given):
    body = encode(wire.PAYLOAD, given["payload"])
    blob = rules.make_blob(raw(given, "salt"), body, "FEDERATION")
    return {"body": body.hex(), "blob": blob.hex(), "commitment": rules.commitment("payload", blob).hex()}


def read_payload(given, said):
    salt, body = rules.read_blob(raw(said, "blob"), "FEDERATION")
    same((salt, body), (raw(given, "salt"), raw(said, "body")))
    same(rules.payload(body), given["payload"])
    same(rules.commitment("payload", raw(said, "blob")), raw(said, "commitment"))


def make_detail(given):
    body = encode(wire.DETAIL, given["detail"])
    blob = rules.make_blob(raw(given, "salt"), body, rules.detail_audience(given["detail"]))
    return {"body": body.hex(), "blob": blob.hex(), "commitment": rules.commitment("detail", blob).hex()}


def read_detail(given, said):
    salt, body = rules.read_blob(raw(said, "blob"))
    detail = rules.detail(body)
    rules.read_blob(raw(said, "blob"), rules.detail_audience(detail))
    same((salt, body, detail), (raw(given, "salt"), raw(said, "body"), given["detail"]))
    same(rules.commitment("detail", raw(said, "blob")), raw(said, "commitment"))


def make_tag(given):
    key, system, value = raw(given, "key"), given["system"].encode(), given["value"].encode()
    commitment = sha256(b"sundbro/v1/subject-key-commitment\n", given["epoch"].to_bytes(4, "big"), key)
    tag = mac(key, b"sundbro/v1/subject\n", prefixed(system), prefixed(value))
    return {"tag": tag.hex(), "key_commitment": commitment.hex()}


def make_object_id(given):
    generation = given["generation"].to_bytes(4, "big")
    parts = prefixed(given["adapter"].encode()), prefixed(raw(given, "source_key"))
    return {"id": mac(raw(given, "id_key"), b"sundbro/v1/object-id\n", *parts, generation)[:16].hex()}


def recomputed(maker):
    """The reader of what can only be compared."""
    return lambda given, said: same(maker(given), said)


def make_checkpoint(given):
    origin = origin_of(given["member"], raw(given, "federation_id"), given["epoch"])
    public = public_key(raw(given, "seed"))
    number = key_hash(origin, public)
    return {
        "origin": origin,
        "log_id": sha256(origin.encode()).hex(),
        "public_key": public.hex(),
        "key_hash": number.hex(),
        "verifier_key": f"{origin}+{number.hex()}+{encode64(bytes([1]) + public)}",
        "note": sign_checkpoint(origin, int(given["size"]), raw(given, "root"), raw(given, "seed"), public),
    }


def read_the_checkpoint(given, said):
    origin, size, root, check = read_checkpoint(said["note"].encode())
    same((origin, str(size), root), (said["origin"], given["size"], raw(given, "root")))
    same(origin, origin_of(given["member"], raw(given, "federation_id"), given["epoch"]))
    public = raw(said, "public_key")
    admit(public)
    check(public)
    same((sha256(origin.encode()), key_hash(origin, public)), (raw(said, "log_id"), raw(said, "key_hash")))
    same(said["verifier_key"], f"{origin}+{said['key_hash']}+{encode64(bytes([1]) + public)}")


LOGS = {}


def log_of(given):
    """The log that chunk.json describes: origin, entries and their tree."""
    name = json.dumps([given[one] for one in ("member", "federation_id", "epoch", "transaction_seed", "header")])
    if name not in LOGS:
        federation_id = raw(given, "federation_id")
        origin = origin_of(given["member"], federation_id, given["epoch"])
        entries, leaves = [], []
        for position in range(600):
            header = dict(given["header"], log_id=sha256(origin.encode()).hex())
            header["payload_commitment"] = sha256(position.to_bytes(8, "big")).hex()
            header["previous_leaf"] = (leaves[-1] if leaves else bytes(32)).hex()
            if position:
                header["position"] = str(position)
            header = encode(wire.HEADER, header)
            message = bound("transaction", federation_id, header)
            entries.append(header + sign(raw(given, "transaction_seed"), message))
            leaves.append(leaf_hash(entries[-1]))
        LOGS[name] = origin, entries, leaves
    origin, entries, leaves = LOGS[name]
    return origin, entries, Tree(leaves)


def make_chunk(given):
    origin, entries, tree = log_of(given)
    start, size, seed = int(given["start"]), int(given["tree_size"]), raw(given, "checkpoint_seed")
    tile = start // 256 * 256
    end = min(tile + 256, size)
    proof = [one.hex() for one in tree.subtree_proof(tile, end, size)]
    chunk = {"log_id": sha256(origin.encode()).hex(), "tree_size": str(size)}
    chunk["bundle"] = bundle(entries[start:end]).hex()
    if start:
        chunk["start"] = str(start)
    if proof:
        chunk["proof"] = proof
    return {
        "end": str(end),
        "bundle": chunk["bundle"],
        "proof": proof,
        "checkpoint": sign_checkpoint(origin, size, tree.root(0, size), seed, public_key(seed)),
        "chunk": encode(wire.CHUNK, chunk).hex(),
    }


def read_chunk(given, said):
    """As a peer does that has the entries before the chunk and the public keys."""
    chunk = decode(wire.CHUNK, raw(said, "chunk"))
    origin, size, root, check = read_checkpoint(said["checkpoint"].encode())
    check(public_key(raw(given, "checkpoint_seed")))
    same(chunk["log_id"], sha256(origin.encode()).hex())
    same(origin, origin_of(given["member"], raw(given, "federation_id"), given["epoch"]))
    same((chunk.get("start", "0"), chunk["tree_size"]), (given["start"], str(size)))
    start = int(given["start"])
    tile = start // 256 * 256
    end = min(tile + 256, size)
    entries = read_bundle(bytes.fromhex(chunk["bundle"]))
    same((chunk["bundle"], chunk.get("proof", [])), (said["bundle"], said["proof"]))
    same((len(entries), said["end"]), (end - start, str(end)))
    leaves = log_of(given)[2].leaves[tile:start] + [leaf_hash(entry) for entry in entries]
    subtree = Tree(leaves).root(0, len(leaves))
    check_subtree(tile, end, subtree, size, root, [bytes.fromhex(one) for one in said["proof"]])
    public = public_key(raw(given, "transaction_seed"))
    for position, entry in enumerate(entries, start):
        header = rules.header(entry[:-64])
        same((header.get("position", "0"), header["log_id"]), (str(position), chunk["log_id"]))
        before = leaves[position - tile - 1].hex() if position > tile else None
        need(before in (None, header["previous_leaf"]), "the link to the entry before")
        verify(public, bound("transaction", raw(given, "federation_id"), entry[:-64]), entry[-64:])


def numbers(given):
    return int(given["start"]), int(given["end"]), int(given["size"])


def counting_tree(size):
    return Tree([leaf_hash(entry.to_bytes(8, "big")) for entry in range(size)])


def make_subtree(given):
    start, end, size = numbers(given)
    tree = counting_tree(size)
    return {
        "root": tree.root(0, size).hex(),
        "subtree_hash": tree.root(start, end).hex(),
        "subtree_proof": [one.hex() for one in tree.subtree_proof(start, end, size)],
        "inclusion_proof_of_start": [one.hex() for one in tree.subtree_proof(start, start + 1, size)],
    }


def read_subtree(given, said):
    start, end, size = numbers(given)
    root, subtree = raw(said, "root"), raw(said, "subtree_hash")
    check_subtree(start, end, subtree, size, root, [bytes.fromhex(one) for one in said["subtree_proof"]])
    proof = [bytes.fromhex(one) for one in said["inclusion_proof_of_start"]]
    check_inclusion(leaf_hash(start.to_bytes(8, "big")), start, size, root, proof)


def make_head(given):
    head = encode(wire.HEAD, given["head"])
    message = bound("charter", raw(given, "signed_under"), head)
    signatures = [sign(raw(one, "seed"), message).hex() for one in given["signers"]]
    return {"head": head.hex(), "digest": sha256(head).hex(), "signatures": signatures}


def read_head(given, said):
    data = raw(said, "head")
    head = rules.charter_head(data)
    same((head, sha256(data)), (given["head"], raw(said, "digest")))
    keys = {one["ordinal"]: raw(one, "public_key") for one in head["stewards"]}
    need(len(given["signers"]) == len(said["signatures"]), "number of signatures")
    for signer, signature in zip(given["signers"], said["signatures"]):
        message = bound("charter", raw(given, "signed_under"), data)
        verify(keys[signer["ordinal"]], message, bytes.fromhex(signature))


def make_member(given):
    entry = encode(wire.MEMBER, given["entry"])
    return {"entry": entry.hex(), "leaf_hash": leaf_hash(entry).hex()}


def read_member(given, said):
    same(rules.member_entry(raw(said, "entry")), given["entry"])
    same(leaf_hash(raw(said, "entry")), raw(said, "leaf_hash"))


def make_members_root(given):
    entries = [bytes.fromhex(one) for one in given["entries"]]
    need(rules.ascending([rules.member_entry(one)["name"] for one in entries]), "order of names")
    tree = Tree([leaf_hash(one) for one in entries])
    return {"members_count": str(len(entries)), "members_root": tree.root(0, len(entries)).hex()}


def make_card(given):
    message = bound("member-card", raw(given, "federation_id"), raw(given, "entry"))
    signatures = [sign(raw(one, "seed"), message).hex() for one in given["signers"]]
    signed = [{"key_id": one["key_id"], "signature": sig} for one, sig in zip(given["signers"], signatures)]
    card = encode(wire.CARD, {"entry": given["entry"], "signatures": signed})
    return {"signatures": signatures, "card": card.hex()}


def read_card(given, said):
    card = decode(wire.CARD, raw(said, "card"))
    entry = raw(card, "entry")
    same(entry, raw(given, "entry"))
    keys = {key["key_id"]: key for key in rules.member_entry(entry)["keys"] if key["algorithm"] == "ED25519"}
    same([one["key_id"] for one in card["signatures"]], sorted(keys))
    same([one["signature"] for one in card["signatures"]], said["signatures"])
    for one in card["signatures"]:
        message = bound("member-card", raw(given, "federation_id"), entry)
        verify(raw(keys[one["key_id"]], "public_key"), message, raw(one, "signature"))


def grant_info(given):
    epoch = given["epoch"].to_bytes(4, "big")
    return b"sundbro/v1/subject-key\n" + raw(given, "federation_id") + epoch + given["recipient"].encode()


def make_key_grant(given):
    info, public = grant_info(given), x25519_public(raw(given, "recipient_secret_key"))
    enc, ciphertext = hpke_seal(raw(given, "ephemeral_ikm"), public, info, raw(given, "subject_key"))
    grant = {"epoch": given["epoch"], "sealing_key_id": given["sealing_key_id"]}
    grant |= {"enc": enc.hex(), "ciphertext": ciphertext.hex()}
    public_part = {"recipient_public_key": public.hex(), "info": info.hex()}
    return {**public_part, "enc": enc.hex(), "ciphertext": ciphertext.hex(), "grant": encode(wire.KEY_GRANT, grant).hex()}


def read_key_grant(given, said):
    """As the recipient does."""
    grant = decode(wire.KEY_GRANT, raw(said, "grant"))
    same((grant["epoch"], grant["sealing_key_id"]), (given["epoch"], given["sealing_key_id"]))
    same((grant["enc"], grant["ciphertext"]), (said["enc"], said["ciphertext"]))
    secret = raw(given, "recipient_secret_key")
    same((x25519_public(secret), grant_info(given)), (raw(said, "recipient_public_key"), raw(said, "info")))
    same(hpke_open(secret, raw(grant, "enc"), raw(said, "info"), raw(grant, "ciphertext")), raw(given, "subject_key"))


def signed_message(purpose, schema, parse):
    def make(given):
        message = encode(schema, given["message"])
        signature = sign(raw(given, "seed"), bound(purpose, raw(given, "federation_id"), message))
        digest, public = sha256(message), public_key(raw(given, "seed"))
        return {
            "message": message.hex(),
            "digest": digest.hex(),
            "public_key": public.hex(),
            "signature": signature.hex(),
        }

    def read(given, said):
        message, public = raw(said, "message"), raw(said, "public_key")
        same((parse(message), sha256(message)), (given["message"], raw(said, "digest")))
        admit(public)
        verify(public, bound(purpose, raw(given, "federation_id"), message), raw(said, "signature"))

    return make, read, parse


def make_receipt(given):
    receipt = receipts.make(given)
    return {"receipt": receipt.hex(), "verdict": receipts.verdict(receipt, raw(given, "federation_id"))}


def read_receipt(given, said):
    same(receipts.verdict(raw(said, "receipt"), raw(given, "federation_id")), said["verdict"])


def refuse_checkpoint(data, context):
    read_checkpoint(data)[3](raw(context, "public_key"))


FILES = {
    "header": (make_header, read_header, rules.header),
    "entry": (make_entry, read_entry),
    "blob": (make_blob, read_blob, lambda data, context: rules.read_blob(data, context["audience"])),
    "payload": (make_payload, read_payload, rules.payload),
    "detail": (make_detail, read_detail, rules.detail),
    "tag": (make_tag, recomputed(make_tag)),
    "object_id": (make_object_id, recomputed(make_object_id)),
    "checkpoint": (make_checkpoint, read_the_checkpoint, refuse_checkpoint),
    "chunk": (make_chunk, read_chunk),
    "subtree": (make_subtree, read_subtree),
    "charter_head": (make_head, read_head, rules.charter_head),
    "member_entry": (make_member, read_member, rules.member_entry),
    "members_root": (make_members_root, recomputed(make_members_root)),
    "member_card": (make_card, read_card),
    "key_grant": (make_key_grant, read_key_grant),
    "request": signed_message("request", wire.REQUEST, rules.request),
    "grant": signed_message("grant", wire.GRANT, rules.grant),
    "completion": signed_message("completion", wire.COMPLETION, rules.completion),
    "acknowledgement": signed_message("acknowledgement", wire.ACKNOWLEDGEMENT, rules.acknowledgement),
    "receipt": (make_receipt, read_receipt),
}


def flipped(value):
    """The value with one bit flipped, over and over, at places spread over all of it."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            for other in flipped(one):
                yield value[:place] + [other] + value[place + 1 :]
        if value:
            yield value[:-1]
        yield value + ["00" * 32]
        return
    try:
        data, back = bytes.fromhex(value), bytes.hex
    except ValueError:
        data, back = value.encode(), lambda data: data.decode("utf-8", "replace")
    steps = max(1, -(-len(data) // FLIPS))
    for at in range(0, len(data), steps):
        other = bytearray(data)
        other[at] ^= 1 << at * 5 % 8
        yield back(bytes(other))


def is_refused(check):
    """Whether it refuses; a crash over hostile bytes is no refusal."""
    try:
        check()
    except Refused:
        return True
    return False


def check_file(name, content):
    """Problems of one file, and how many changed values were refused."""
    make, read, *parse = FILES[name]
    problems, refused = [], 0
    for case in content["cases"]:
        given, expected = case["input"], case["expected"]
        made = make(given)
        problems += [f"{case['name']}: {key} differs" for key in expected if made.get(key) != expected[key]]
        problems += [f"{case['name']}: {key} is missing" for key in made if key not in expected]
        if is_refused(lambda: read(given, expected)):
            problems.append(f"{case['name']}: its reader refuses it")
        for key, value in expected.items():
            for other in flipped(value):
                if is_refused(lambda: read(given, dict(expected, **{key: other}))):
                    refused += 1
                else:
                    problems.append(f"{case['name']}: a changed {key} is accepted: {str(other)[:200]}")
    for bad in content.get("refused", []):
        data = bytes.fromhex(bad["bytes"])
        context = [bad] if name in ("blob", "checkpoint") else []
        if is_refused(lambda: parse[0](data, *context)):
            refused += 1
        else:
            problems.append(f"{bad['name']}: accepted")
    return problems, refused


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    passed = failed = 0
    for name in sorted(FILES.keys() | {path.stem for path in folder.glob("*.json")}):
        try:
            content = json.loads((folder / f"{name}.json").read_text("utf-8"))
            problems, refused = check_file(name, content)
        except (Refused, KeyError, ValueError, OSError) as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            failed += 1
            print(f"FAILED  {name}: {problems[0]} ({len(problems)} problems)")
        else:
            passed += 1
            print(f"ok      {name}: {len(content['cases'])} cases, {refused} changed or wrong values refused")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
