"""A retrieval in four messages, and the receipt that shows what they were worth (§9)."""

from . import charter, crypto, logs, messages, tables, trees
from .book import Book
from .messages import from_one, member_name, present, text
from .wire import Refused, decode, encode, require

PERMITTED, REFUSED = (tables.OUTCOME.names[name] for name in ("PERMITTED", "REFUSED"))
COMPLETE, ABORTED = (tables.COMPLETION_STATUS.names[name] for name in ("COMPLETE", "ABORTED"))
MATCHING, MISMATCH = (
    tables.ACKNOWLEDGEMENT_STATUS.names[name] for name in ("MATCHING", "MISMATCH"))


# The four messages, each by itself


def _common(message):
    require(message["format"] == 1, 9, "format is not 1")
    from_one(9, message, "charter_version", "key_id")


def read_request(data):
    request = decode(tables.REQUEST, data)
    _common(request)
    member_name("requester", request["requester"])
    member_name("owner", request["owner"])
    present(9, request, "record")
    messages.record_version(request["record"])
    owned = request["owner"] == request["record"]["record"]["member"]
    require(owned, 9, "another owner than the record's")
    text(9, "user", request["user"], 128)
    text(9, "role", request["role"], 64)
    messages.identifier(9, "unit", request["unit"])
    require(request["requested_unix_seconds"] >= 0, 9, "a time before 1970")
    return request


IN_A_REFUSAL = {"format", "request_sha256", "outcome", "policy_sha256", "charter_version", "key_id"}


def read_grant(data):
    grant = decode(tables.GRANT, data)
    _common(grant)
    if grant["outcome"] == REFUSED:
        empty = tables.GRANT.empty()
        for name in empty.keys() - IN_A_REFUSAL:
            require(grant[name] == empty[name], 9, f"a refusal with {name}")
        return grant
    text(9, "rule", grant["rule"], 256)
    require(len(grant["expected_sha256"]) == 32, 9, "expected_sha256 is not 32 bytes")
    return grant


def entry_of(grant):
    """The header of the entry that a permit shows, and the checkpoint that has it."""
    header_bytes, _ = messages.split_entry(grant["entry"])
    return messages.read_header(header_bytes), logs.parse_checkpoint(grant["checkpoint"])


def read_completion(data):
    completion = decode(tables.COMPLETION, data)
    _common(completion)
    return completion


def read_acknowledgement(data):
    acknowledgement = decode(tables.ACKNOWLEDGEMENT, data)
    _common(acknowledgement)
    return acknowledgement


READERS = {
    "request": (tables.REQUEST, read_request),
    "grant": (tables.GRANT, read_grant),
    "completion": (tables.COMPLETION, read_completion),
    "acknowledgement": (tables.ACKNOWLEDGEMENT, read_acknowledgement),
}


def read_signed(kind, data, signature, public_key, federation_id):
    message = READERS[kind][1](data)
    crypto.verify(public_key, signature, kind, federation_id, data)
    return message


# Writing a receipt


def make_receipt(charters, followed, signed, payload_blob, detail_blob):
    """charters are whole versions from 1 on; signed holds each message that there is.

    followed is what check_charters makes of the charters.
    """
    request = read_request(signed["request"]["message"])
    grant = read_grant(signed["grant"]["message"])
    newest = len(followed)
    wanted = {(request["charter_version"], request["requester"]), (newest, request["requester"]),
              (grant["charter_version"], request["owner"]), (newest, request["owner"])}
    if signed["completion"]:
        version = read_completion(signed["completion"]["message"])["charter_version"]
        wanted.add((version, request["owner"]))
    if signed["acknowledgement"]:
        version = read_acknowledgement(signed["acknowledgement"]["message"])["charter_version"]
        wanted.add((version, request["requester"]))
    if grant["outcome"] == PERMITTED:
        wanted.add((entry_of(grant)[0]["charter_version"], request["owner"]))
    wanted = {(charter.judging(followed, version), name) for version, name in wanted}
    refusal = grant["outcome"] == REFUSED
    return encode(tables.RECEIPT, {
        "format": 1,
        "heads": charter.signed_heads(charters),
        "members": charter.listed_members(followed, wanted),
        **signed,
        "payload_blob": b"" if refusal else payload_blob,
        "detail_blob": b"" if refusal else detail_blob,
    })


# Reading a receipt


class Reader:
    """One pass over a receipt; signed collects what each key signed, for the verdict."""

    def __init__(self, data, federation_id):
        self.data, self.federation_id = data, federation_id
        self.pinned = federation_id is not None
        self.signed = []  # of name, key, number
        self.step = 0  # where the reader is on the page; 0 is the form of the receipt itself

    def check_form(self):
        self.receipt = decode(tables.RECEIPT, self.data)
        require(self.receipt["format"] == 1, 9, "format is not 1")
        present(9, self.receipt, "request", "grant")
        require(self.receipt["heads"], 9, "no heads")

    def check_charter(self):
        self.step = 1
        self.book = Book(self.receipt["heads"], self.receipt["members"], self.federation_id)
        self.federation_id = self.book.federation_id

    def message(self, kind, signer):
        """A message, and that the signer's SERVICE key signed it."""
        signed = self.receipt[kind]
        message = READERS[kind][1](signed["message"])
        version = message["charter_version"]
        entry = self.book.entry(version, signer or message["requester"])
        key = charter.find_key(entry, message["key_id"], charter.SERVICE, version)
        crypto.verify(key["public_key"], signed["signature"], kind, self.federation_id,
                      signed["message"])
        self.signed.append((entry["name"], key, version))
        return message

    def check_messages(self):
        self.step = 2
        self.request = self.message("request", None)
        requester, owner = self.request["requester"], self.request["owner"]
        for name in (requester, owner):
            self.book.require_newest(name)
        self.grant = self.message("grant", owner)
        self.completion = self.acknowledgement = None
        self.names("grant", "request_sha256", "request")
        if self.grant["outcome"] == REFUSED:
            for name in ("completion", "payload_blob", "detail_blob"):
                require(not self.receipt[name], 9, f"{name} after a refusal")
        if self.receipt["completion"]:
            self.completion = self.message("completion", owner)
            self.names("completion", "grant_sha256", "grant")
            if self.completion["status"] == COMPLETE:
                sent = (self.completion["bytes_sent"], self.completion["content_sha256"])
                require(sent == self.expected(), 9, "COMPLETE, but not what was expected")
        if self.receipt["acknowledgement"]:
            require(self.completion, 9, "an acknowledgement without a completion")
            self.acknowledgement = self.message("acknowledgement", requester)
            self.names("acknowledgement", "completion_sha256", "completion")
            aborted = self.completion["status"] == ABORTED
            matching = self.acknowledgement["status"] == MATCHING
            require(not (aborted and matching), 9, "MATCHING after ABORTED")

    def names(self, kind, field, before):
        """A message names the digest of the one before."""
        digest = crypto.sha256(self.receipt[before]["message"])
        require(getattr(self, kind)[field] == digest, 9, f"{field} is another digest")

    def expected(self):
        return self.grant["expected_size_bytes"], self.grant["expected_sha256"]

    def check_entry(self):
        self.step = 3
        owner = self.request["owner"]
        header, checkpoint = entry_of(self.grant)
        entry = self.book.entry(header["charter_version"], owner)
        epochs = [epoch for epoch in entry["log_epochs"] if header["log_id"] == logs.log_id(
            logs.origin(owner, self.federation_id, epoch["epoch"]))]
        require(epochs, 9, "an entry that is not in a log of the owner")
        epoch, position = epochs[0]["epoch"], header["position"]
        end = self.book.entries_of(owner)[-1]["log_epochs"][epoch - 1]["end"]
        ended = end is not None and position >= end["size"]
        require(not ended, 9, "an entry at or above the end of its log epoch")
        key = charter.find_key(
            entry, header["key_id"], charter.TRANSACTION, position, epoch)
        messages.read_entry(self.grant["entry"], key["public_key"], self.federation_id)
        self.signed.append((owner, key, position))
        this_log = header["log_id"] == logs.log_id(checkpoint.origin)
        require(this_log, 9, "a checkpoint of another log than the entry's")
        self.signed.append((owner, self.checkpoint_key(checkpoint, epoch), checkpoint.size))
        trees.check_inclusion(position, checkpoint.size, trees.leaf(self.grant["entry"]),
                              self.grant["inclusion_proof"], checkpoint.root)
        return header

    def checkpoint_key(self, checkpoint, epoch):
        fault = Refused(9, "a checkpoint that no key of the owner's signed")
        for entry in self.book.entries_of(self.request["owner"]):
            for key in entry["keys"]:
                purpose = (key["purpose"], key["log_epoch"]) == (charter.CHECKPOINT, epoch)
                if purpose and charter.covers(entry, key, checkpoint.size):
                    try:
                        checkpoint.check_signature(key["public_key"])
                        return key
                    except Refused as refused:
                        fault = refused
        raise fault

    def check_blobs(self, header):
        self.step = 4
        payload_blob, detail_blob = self.receipt["payload_blob"], self.receipt["detail_blob"]
        require(payload_blob or not detail_blob, 9, "a detail without its payload")
        if not payload_blob:
            return
        audiences = {number: name for name, number in tables.AUDIENCE.names.items()}
        require(len(payload_blob) == header["payload_size"], 5, "a payload of another length")
        committed = messages.payload_commitment(payload_blob) == header["payload_commitment"]
        require(committed, 5, "a payload of another commitment")
        body = messages.read_blob(payload_blob, audiences[header["audience"]])
        kind, registered = messages.read_payload(body)
        require(kind == 1, 9, "a payload that registers nothing")
        record = {"record": registered["record"], "version": registered["version"]}
        require(record == self.request["record"], 9, "a payload of another record version")
        if not detail_blob:
            return
        committed = messages.detail_commitment(detail_blob) == registered["detail_commitment"]
        require(committed, 5, "a detail of another commitment")
        detail = messages.read_detail(messages.read_body(detail_blob))
        messages.read_blob(detail_blob, messages.detail_padding(detail))
        require(detail["record"] == record, 9, "a detail of another record version")
        content = (detail["content_size_bytes"], detail["content_sha256"])
        require(content == self.expected(), 9, "a detail of other content than expected")

    def revoked(self):
        """By the signer's newest entry, a key does not cover what it signed."""
        for name, key, number in self.signed:
            newest = self.book.entries_of(name)[-1]
            same = [k for k in newest["keys"] if k["public_key"] == key["public_key"]]
            if not same or not charter.covers(newest, same[0], number):
                return True
        return False

    def verdict(self):
        self.check_form()
        self.check_charter()
        self.check_messages()
        if self.grant["outcome"] == PERMITTED:
            self.check_blobs(self.check_entry())
        if not self.pinned:
            return "UNPINNED"
        if self.revoked():
            return "KEY_SINCE_REVOKED"
        if self.grant["outcome"] == REFUSED:
            return "REFUSED"
        complete = self.completion and self.completion["status"] == COMPLETE
        if not self.completion or (complete and not self.acknowledgement):
            return "ONE_SIDED"
        if not complete:
            return "ABORTED"
        if self.acknowledgement["status"] == MISMATCH:
            return "DISPUTED"
        if not self.receipt["payload_blob"] or not self.receipt["detail_blob"]:
            return "RECORD_NOT_SHOWN"
        return "COMPLETE"


def read_receipt(data, federation_id):
    """What a receipt is worth; federation_id is None for a reader who knows none."""
    return Reader(data, federation_id).verdict()
