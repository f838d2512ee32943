"""What members write into their logs: entries, blobs, bodies, subject tags (§4, 5, 6, 8)."""

import re
import unicodedata

from . import crypto, tables, trees
from .wire import (
    Refused, decode, delimited, encode, read_delimited, read_varint, require, varint)

ZERO = bytes(32)


# Texts and lists (§1)


def text(section, name, value, most):
    """A text that people read."""
    require(value, section, f"{name} is empty")
    require(len(value.encode()) <= most, section, f"{name} is longer than {most} bytes")
    controls = any(unicodedata.category(c) == "Cc" for c in value)
    require(not controls, section, f"{name} has a control character")


LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def is_dns_name(value):
    return all(LABEL.fullmatch(label) for label in value.split("."))


def member_name(name, value):
    require(len(value) <= 200, 1, f"{name} is longer than 200 bytes")
    require("." in value, 1, f"{name} is a name without a dot")
    require(is_dns_name(value), 1, f"{name} is not a lower-case DNS name")


def ascending(section, name, keys):
    """Ascending, and none twice."""
    for before, after in zip(keys, keys[1:]):
        require(before != after, section, f"{name}: one stands twice")
        require(before < after, section, f"{name}: not in ascending order")


def at_most(section, name, elements, most):
    require(len(elements) <= most, section, f"{name}: more than {most}")


def from_one(section, message, *names):
    for name in names:
        require(message[name] >= 1, section, f"{name} is 0")


def present(section, message, *names):
    for name in names:
        require(message[name] is not None, section, f"{name} is absent")


# Headers and entries (§4)


class Waits(Refused):
    """The log waits at an entry of a format that this reader does not know."""


def _format(data):
    """The first field as a minimal uint32; 0 if there is none, of which the reader says why."""
    try:
        return read_varint(data, 1, 2**32 - 1)[0] if data[:1] == b"\x08" else 0
    except Refused:
        return 0


def read_header(data):
    if _format(data) > 1:  # it alone decides, before anything else
        raise Waits(4, "a higher format: the log waits there")
    header = decode(tables.HEADER, data)
    require(header["format"] == 1, 4, "format is not 1")
    from_one(4, header, "charter_version", "key_id", "incarnation")
    require(header["payload_size"] <= 65_536, 4, "payload_size is above 65,536")
    if header["position"] == 0:
        require(header["previous_leaf"] == ZERO, 4, "a leaf before position 0")
    return header


def make_entry(header_bytes, seed, federation_id):
    return header_bytes + crypto.sign(seed, "transaction", federation_id, header_bytes)


def split_entry(entry):
    """The header's bytes and the signature."""
    require(len(entry) > 64, 4, "an entry that is too short")
    return entry[:-64], entry[-64:]


def read_entry(entry, public_key, federation_id):
    header_bytes, signature = split_entry(entry)
    header = read_header(header_bytes)
    crypto.verify(public_key, signature, "transaction", federation_id, header_bytes)
    return header


# Blobs and commitments (§5)

FEDERATION, LIMITED = "FEDERATION", "LIMITED"
LENGTHS = {FEDERATION: range(64, 65_537, 64), LIMITED: (512, 2_048, 8_192, 65_536)}


def blob_length(audience, body_length):
    """The smallest of the lengths that a blob for this audience may have."""
    return min(length for length in LENGTHS[audience] if length >= 36 + body_length)


def make_blob(salt, body, audience):
    blob = salt + len(body).to_bytes(4, "big") + body
    return blob + bytes(blob_length(audience, len(body)) - len(blob))


def read_body(blob):
    """The body of a blob whose length is still to be judged."""
    require(len(blob) <= 65_536, 5, "a blob of more than 65,536 bytes")
    require(len(blob) >= 36, 5, "a blob without room for the length")
    length = int.from_bytes(blob[32:36], "big")
    require(length <= 65_500, 5, "a body of more than 65,500 bytes")
    require(length <= len(blob) - 36, 5, "a body that runs past the end")
    require(not any(blob[36 + length :]), 5, "another byte than zero after the body")
    return blob[36 : 36 + length]


def read_blob(blob, audience):
    body = read_body(blob)
    fits = len(blob) == blob_length(audience, len(body))
    require(fits, 5, f"another length than that for {audience}")
    return body


def payload_commitment(blob):
    return crypto.sha256(b"sundbro/v1/payload\n", blob)


def detail_commitment(blob):
    return crypto.sha256(b"sundbro/v1/detail\n", blob)


# Bodies (§6)


def object_id(message):
    member_name("member", message["member"])


def record_version(message):
    present(6, message, "record")
    object_id(message["record"])
    from_one(6, message, "version")


def coding(name, message):
    if message is not None:
        text(6, f"{name}.system", message["system"], 256)
        text(6, f"{name}.code", message["code"], 64)


def identifier(section, name, message):
    if message is not None:
        text(section, f"{name}.system", message["system"], 256)
        text(section, f"{name}.value", message["value"], 128)


def observation(message):
    changed = message["changed"]
    require(changed, 6, "no changed heads")
    at_most(6, "changed", changed, 512)
    for head in changed:
        require(1 <= head["size"] <= trees.MOST_ENTRIES, 6, "a size that is not 1 to 2^63 - 1")
    ascending(6, "changed", [head["log_id"] for head in changed])


def heads_after(before, changed):
    """Count and root of the heads after an observation that follows the heads before."""
    heads = {head["log_id"]: head for head in [*before, *changed]}
    leaves = [trees.leaf(encode(tables.OBSERVED_HEAD, heads[log])) for log in sorted(heads)]
    return len(heads), trees.Tree(leaves).root()


def read_payload(body):
    """The kind of a payload and its message; None for a kind that is not known yet."""
    require(len(body) <= 65_500, 5, "a body of more than 65,500 bytes")
    require(body, 6, "a payload without a field")
    tag, at = read_varint(body, 0, 2**32 - 1)
    kind, wire_type = divmod(tag, 8)
    if kind not in (1, 2, 80):
        require(kind >= 1 and wire_type == 2, 6, "a payload whose field is not a message")
        content, _ = read_delimited(body, at)
        canonical = varint(tag) + delimited(content) == body
        require(canonical, 6, "a payload of more than one field")
        return kind, None
    payload = decode(tables.PAYLOAD, body)
    registered, withdrawn = payload["record_registered"], payload["record_withdrawn"]
    said = [message for message in payload.values() if message is not None]
    require(len(said) == 1, 6, "a payload of more than one field")
    if payload["observation"] is not None:
        observation(payload["observation"])
        return 80, payload["observation"]
    if registered is None:
        present(6, withdrawn, "record")
        object_id(withdrawn["record"])
        return 2, withdrawn
    present(6, registered, "record")
    object_id(registered["record"])
    from_one(6, registered, "version")
    subjects = registered["subjects"]
    require(subjects, 6, "no subjects")
    at_most(6, "subjects", subjects, 16)
    for subject in subjects:
        from_one(6, subject, "scheme", "epoch")
    ascending(6, "subjects", [(s["scheme"], s["epoch"], s["value"]) for s in subjects])
    if registered["replaces"] is not None:
        record_version(registered["replaces"])
        another = registered["replaces"]["record"] != registered["record"]
        require(another, 6, "a record that replaces itself")
    return 1, registered


LANGUAGE = re.compile(r"[A-Za-z0-9-]{0,35}")


def read_detail(body):
    detail = decode(tables.DETAIL, body)
    present(6, detail, "record", "audience")
    record_version(detail["record"])
    for_all, names = detail["audience"]["all"], detail["audience"]["members"]
    require(for_all != bool(names), 6, "an audience of neither or both of all and members")
    at_most(6, "audience", names, 256)
    for name in names:
        member_name("audience", name)
    ascending(6, "audience", [name.encode() for name in names])
    for name in ("class", "facility", "practice_setting"):
        coding(name, detail[name])
    identifier(6, "author_unit", detail["author_unit"])
    media_type = detail["media_type"]
    require(media_type.isascii(), 6, "media_type is not ASCII")
    text(6, "media_type", media_type, 127)
    before, slash, after = media_type.partition("/")
    require(before and slash and after, 6, "media_type without a slash between two parts")
    period = detail["period"]
    if period is not None:
        start, end = period["start_unix_seconds"], period["end_unix_seconds"]
        require(start is not None or end is not None, 6, "a period without start and end")
        if start is not None and end is not None:
            require(start < end, 6, "a period whose start is not below its end")
    normal = detail["confidentiality"] == tables.CONFIDENTIALITY.names["NORMAL"]
    require(normal or not for_all, 6, "all members, but not NORMAL")
    require(LANGUAGE.fullmatch(detail["language"]), 6, "language is none")
    at_most(6, "episodes", detail["episodes"], 16)
    for episode in detail["episodes"]:
        object_id(episode)
    ascending(6, "episodes", [(e["member"].encode(), e["id"]) for e in detail["episodes"]])
    return detail


def detail_padding(detail):
    """A detail is padded as its own audience asks (§5)."""
    return FEDERATION if detail["audience"]["all"] else LIMITED


def _counted(data):
    return len(data).to_bytes(2, "big") + data


def make_object_id(id_key, adapter, source_key, generation):
    return crypto.hmac_sha256(
        id_key, b"sundbro/v1/object-id\n", _counted(adapter.encode()), _counted(source_key),
        generation.to_bytes(4, "big"))[:16]


# Subject tags and the sealed key (§8)


def subject_tag(key, system, value):
    return crypto.hmac_sha256(
        key, b"sundbro/v1/subject\n", _counted(system.encode()), _counted(value.encode()))


def key_commitment(epoch, key):
    return crypto.sha256(b"sundbro/v1/subject-key-commitment\n", epoch.to_bytes(4, "big"), key)


def key_grant_info(federation_id, epoch, recipient):
    return (b"sundbro/v1/subject-key\n" + federation_id + epoch.to_bytes(4, "big")
            + recipient.encode())


def make_key_grant(federation_id, epoch, recipient, recipient_key, key_id, subject_key, material):
    info = key_grant_info(federation_id, epoch, recipient)
    enc, ciphertext = crypto.seal(recipient_key, info, subject_key, material)
    return encode(tables.KEY_GRANT, {
        "epoch": epoch, "sealing_key_id": key_id, "enc": enc, "ciphertext": ciphertext})


def open_key_grant(data, federation_id, recipient, sealing_key_id, secret_key, commitments):
    """The key of an epoch, compared with its commitment in the charter."""
    grant = decode(tables.KEY_GRANT, data)
    require(grant["sealing_key_id"] == sealing_key_id, 8, "a grant to another key")
    require(grant["epoch"] in commitments, 8, "a grant of an epoch that the charter has not")
    info = key_grant_info(federation_id, grant["epoch"], recipient)
    key = crypto.open_sealed(secret_key, grant["enc"], info, grant["ciphertext"])
    holds = key_commitment(grant["epoch"], key) == commitments[grant["epoch"]]
    require(holds, 8, "a key that the charter does not commit to")
    return key
