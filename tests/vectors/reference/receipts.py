"""Puts receipts together and checks them (docs/protocol.md section 9)."""

from . import rules, wire
from .crypto import bound, sha256, verify
from .trees import Tree, check_inclusion, leaf_hash, origin_of, read_checkpoint
from .wire import decode, encode, need

FOUNDING = bytes(32)


def unhex(values):
    return [bytes.fromhex(value) for value in values]


def make(given):
    """The receipt of these charters and messages."""
    request = rules.request(bytes.fromhex(given["request"]["message"]))
    grant = rules.grant(bytes.fromhex(given["grant"]["message"]))
    newest = len(given["charters"])
    asked, owned = {int(request["charter_version"]), newest}, {int(grant["charter_version"]), newest}
    if grant["outcome"] == "PERMITTED":
        header = rules.header(bytes.fromhex(grant["entry"])[:-64])
        owned.add(int(header["charter_version"]))
    if given["completion"]:
        owned.add(int(rules.completion(bytes.fromhex(given["completion"]["message"]))["charter_version"]))
    if given["acknowledgement"]:
        message = bytes.fromhex(given["acknowledgement"]["message"])
        asked.add(int(rules.acknowledgement(message)["charter_version"]))
    wanted = {(version, request["requester"]) for version in asked}
    wanted |= {(version, request["owner"]) for version in owned}
    receipt = {
        "format": 1,
        "heads": [{"head": one["head"], "signatures": one["signatures"]} for one in given["charters"]],
        "members": [member_at(given["charters"][version - 1], version, name) for version, name in sorted(wanted)],
    }
    for name in ("request", "grant", "completion", "acknowledgement", "payload_blob", "detail_blob"):
        if given[name]:
            receipt[name] = given[name]
    return encode(wire.RECEIPT, receipt)


def member_at(charter, version, name):
    entries = unhex(charter["members"])
    index = [rules.member_entry(entry)["name"] for entry in entries].index(name)
    proof = Tree([leaf_hash(entry) for entry in entries]).subtree_proof(index, index + 1, len(entries))
    member = {"charter_version": str(version), "entry": charter["members"][index]}
    if index:
        member["index"] = str(index)
    if proof:
        member["inclusion_proof"] = [one.hex() for one in proof]
    return member


class Book:
    """The charter as far as a receipt shows it."""

    def __init__(self, receipt, federation_id):
        self.heads, self.digests, self.entries, self.revoked = [], [], {}, False
        self.federation_id = federation_id
        for head in receipt.get("heads", []):
            self.take_head(bytes.fromhex(head.get("head", "")), head.get("signatures", []))
        need(self.digests and self.digests[0] == federation_id, "another federation")
        last, members = (0, ""), receipt.get("members", [])
        need(len(members) <= 16, "too many members")
        for member in members:
            version, data = int(member.get("charter_version", 0)), bytes.fromhex(member.get("entry", ""))
            need(1 <= version <= len(self.heads), "no such version")
            head, entry = self.heads[version - 1], rules.member_entry(data)
            size, root = int(head.get("members_count", 0)), bytes.fromhex(head["members_root"])
            proof = unhex(member.get("inclusion_proof", []))
            check_inclusion(leaf_hash(data), int(member.get("index", 0)), size, root, proof)
            need(last < (version, entry["name"]), "order of members")
            last = (version, entry["name"])
            self.entries[entry["name"], version] = entry

    def take_head(self, data, signatures):
        head, before = rules.charter_head(data), self.heads[-1] if self.heads else None
        need(int(head["version"]) == len(self.heads) + 1, "versions without gaps")
        stewards = {one["ordinal"]: one["public_key"] for one in head["stewards"]}
        earlier = {one["ordinal"]: one["public_key"] for one in before["stewards"]} if before else {}
        if before:
            need(head["previous"] == [self.digests[-1].hex()], "follows another head")
            need((before["environment"], head["environment"]) != ("PRODUCTION", "TEST"), "back to test")
            epochs = before.get("subject_epochs", [])
            need(head.get("subject_epochs", [])[: len(epochs)] == epochs, "subject epochs changed")
            added = {one for one in stewards if stewards[one] != earlier.get(one)}
            used = {steward["ordinal"] for one in self.heads for steward in one["stewards"]}
            need(not added & used, "an ordinal that was used")
        ordinals = [one.get("ordinal", 0) for one in signatures]
        need(rules.ascending(ordinals), "order of signatures")
        for signature in signatures:
            key = earlier.get(signature.get("ordinal", 0)) or stewards.get(signature.get("ordinal", 0))
            need(key, "signed by no steward")
            message = bound("charter", self.federation_id if before else FOUNDING, data)
            verify(bytes.fromhex(key), message, bytes.fromhex(signature.get("signature", "")))
        need(not before or len(set(ordinals) & set(earlier)) >= before["threshold"], "too few signatures")
        need(set(stewards) - set(earlier) <= set(ordinals), "an added steward has not signed")
        self.heads.append(head)
        self.digests.append(sha256(data))

    def newest(self, name):
        return self.entries[max(key for key in self.entries if key[0] == name)]

    def key(self, name, version, key_id, purpose, at, epoch=0):
        """A key that may sign `at` by the version named; whether it still may is noted."""
        need((name, version) in self.entries, "no entry of the signer at that version")

        def find(entry):
            for key in entry["keys"]:
                if (key["key_id"], key["purpose"], key.get("log_epoch", 0)) == (key_id, purpose, epoch):
                    return key
            raise wire.Refused("no such key")

        key = find(self.entries[name, version])
        need(rules.covers(key, at), "the key does not cover that")
        self.revoked |= not rules.covers(find(self.newest(name)), at)
        return bytes.fromhex(key["public_key"])

    def log_epoch(self, name, log_id):
        """Which epoch of the member's log has this id."""
        for epoch in self.newest(name)["log_epochs"]:
            if sha256(origin_of(name, self.federation_id, epoch["epoch"]).encode()) == log_id:
                return epoch
        raise wire.Refused("not a log of the owner")

    def check_message(self, purpose, signed, signer, parse):
        data = bytes.fromhex(signed.get("message", ""))
        message = parse(data)
        version = int(message["charter_version"])
        key = self.key(signer or message["requester"], version, message["key_id"], "SERVICE", version)
        verify(key, bound(purpose, self.federation_id, data), bytes.fromhex(signed.get("signature", "")))
        return message, sha256(data).hex()

    def check_entry(self, grant, owner):
        entry = bytes.fromhex(grant.get("entry", ""))
        need(len(entry) > 64, "no entry")
        header = rules.header(entry[:-64])
        position, log_id = int(header.get("position", 0)), bytes.fromhex(header["log_id"])
        epoch = self.log_epoch(owner, log_id)
        need(position < int(epoch.get("end", {}).get("size", 1 << 64)), "after the end of the log")
        version = int(header["charter_version"])
        key = self.key(owner, version, header["key_id"], "TRANSACTION", position, epoch["epoch"])
        verify(key, bound("transaction", self.federation_id, entry[:-64]), entry[-64:])
        origin, size, root, check = read_checkpoint(bytes.fromhex(grant.get("checkpoint", "")))
        need(sha256(origin.encode()) == log_id, "a checkpoint of another log")
        self.check_checkpoint(owner, epoch["epoch"], size, check)
        proof = unhex(grant.get("inclusion_proof", []))
        check_inclusion(leaf_hash(entry), position, size, root, proof)
        return header

    def check_checkpoint(self, owner, epoch, size, check):
        versions = sorted((key[1] for key in self.entries if key[0] == owner), reverse=True)
        for version in versions:
            keys = [one for one in self.entries[owner, version]["keys"] if one["purpose"] == "CHECKPOINT"]
            keys = [one for one in keys if one["log_epoch"] == epoch]
            for place, key in enumerate(keys):
                if not rules.covers(key, size, place == 0):
                    continue
                try:
                    check(bytes.fromhex(key["public_key"]))
                except wire.Refused:
                    continue
                self.revoked |= version != versions[0]
                return
        raise wire.Refused("no key of the log signed the checkpoint")


def check_blobs(receipt, request, grant, header):
    """Whether both blobs are there; refuses those that say otherwise."""
    if "payload_blob" not in receipt:
        need("detail_blob" not in receipt, "a detail alone")
        return False
    blob = bytes.fromhex(receipt["payload_blob"])
    need(len(blob) == header["payload_size"], "payload_size")
    need(rules.commitment("payload", blob).hex() == header["payload_commitment"], "another payload")
    body = rules.payload(rules.read_blob(blob, header["audience"])[1]).get("record_registered")
    need(body, "not a registration")
    need({"record": body["record"], "version": body["version"]} == request["record"], "another record")
    if "detail_blob" not in receipt:
        return False
    blob = bytes.fromhex(receipt["detail_blob"])
    need(rules.commitment("detail", blob).hex() == body["detail_commitment"], "another detail")
    detail = rules.detail(rules.read_blob(blob)[1])
    rules.read_blob(blob, rules.detail_audience(detail))
    need(detail["record"] == request["record"], "a detail of another record")
    said = (detail.get("content_size_bytes"), detail["content_sha256"])
    need(said == (grant.get("expected_size_bytes"), grant["expected_sha256"]), "other content")
    return True


def verdict(data, federation_id):
    """What a receipt is worth to a reader who knows the federation id."""
    receipt = decode(wire.RECEIPT, data)
    need(receipt.get("format") == 1 and "request" in receipt and "grant" in receipt, "a part is missing")
    book = Book(receipt, federation_id)
    request, request_digest = book.check_message("request", receipt["request"], None, rules.request)
    owner = request["owner"]
    grant, grant_digest = book.check_message("grant", receipt["grant"], owner, rules.grant)
    need(grant["request_sha256"] == request_digest, "a grant of another request")
    if grant["outcome"] == "REFUSED":
        need(not {"completion", "acknowledgement", "payload_blob", "detail_blob"} & set(receipt), "after a refusal")
        return "KEY_SINCE_REVOKED" if book.revoked else "REFUSED"
    shown = check_blobs(receipt, request, grant, book.check_entry(grant, owner))
    outcome = check_answers(receipt, book, request, grant, grant_digest)
    if book.revoked:
        return "KEY_SINCE_REVOKED"
    return outcome if outcome != "COMPLETE" or shown else "RECORD_NOT_SHOWN"


def check_answers(receipt, book, request, grant, grant_digest):
    if "completion" not in receipt:
        need("acknowledgement" not in receipt, "an acknowledgement without a completion")
        return "ONE_SIDED"
    completion, digest = book.check_message("completion", receipt["completion"], request["owner"], rules.completion)
    need(completion["grant_sha256"] == grant_digest, "a completion of another grant")
    said = (completion.get("bytes_sent"), completion["content_sha256"])
    granted = (grant.get("expected_size_bytes"), grant["expected_sha256"])
    need(completion["status"] == "ABORTED" or said == granted, "COMPLETE contradicts the grant")
    status = None
    if "acknowledgement" in receipt:
        signed = receipt["acknowledgement"]
        message, _ = book.check_message("acknowledgement", signed, request["requester"], rules.acknowledgement)
        need(message["completion_sha256"] == digest, "an acknowledgement of another completion")
        status = message["status"]
        need((completion["status"], status) != ("ABORTED", "MATCHING"), "MATCHING after ABORTED")
    if completion["status"] == "ABORTED":
        return "ABORTED"
    return {"MATCHING": "COMPLETE", "MISMATCH": "DISPUTED", None: "ONE_SIDED"}[status]
