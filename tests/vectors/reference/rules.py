"""What the fields of each message may hold (docs/protocol.md sections 4 to 7 and 9)."""

import ipaddress
import re
import unicodedata

from . import wire
from .crypto import admit, sha256, x25519
from .wire import decode, need

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
LIMITED_LENGTHS = (512, 2048, 8192, 65536)


def is_text(text, limit):
    return 0 < len(text.encode()) <= limit and not any(unicodedata.category(one) == "Cc" for one in text)


def is_dns(text, limit, labels):
    parts = text.split(".")
    return len(text) <= limit and len(parts) >= labels and all(LABEL.match(part) for part in parts)


def check_member_name(text):
    need(is_dns(text, 200, 2), "not a member name")


def check_bytes(message, name, length):
    need(len(message.get(name, "")) == 2 * length, f"{name} is not {length} bytes")


def check_pair(pair, names, limits):
    for name, limit in zip(names, limits):
        need(is_text(pair.get(name, ""), limit), f"{name} is empty, too long, or has control characters")


def check_identifier(message, name):
    if name in message:
        check_pair(message[name], ("system", "value"), (256, 128))


def check_coding(message, name):
    if name in message:
        check_pair(message[name], ("system", "code"), (256, 64))


def check_object_id(message):
    check_member_name(message.get("member", ""))
    check_bytes(message, "id", 16)


def check_record_version(message):
    need(message.get("version", 0) > 0, "version 0 of a record")
    check_object_id(message.get("record", {}))


def ascending(keys):
    return all(before < after for before, after in zip(keys, keys[1:]))


def header(data):
    message = decode(wire.HEADER, data, 512)
    need(message.get("format") == 1, "format")
    for name in ("charter_version", "key_id", "incarnation"):
        need(int(message.get(name, 0)) > 0, f"{name} is 0")
    for name in ("log_id", "previous_leaf", "payload_commitment"):
        check_bytes(message, name, 32)
    need(message.get("payload_size", 0) <= 65536, "payload_size")
    need("audience" in message, "audience")
    return message


def blob_length(body_length, audience):
    length = 36 + body_length
    if audience == "FEDERATION":
        return (length + 63) // 64 * 64
    return next((one for one in LIMITED_LENGTHS if one >= length), None)


def make_blob(salt, body, audience):
    length = blob_length(len(body), audience)
    need(len(salt) == 32 and length and length <= 65536, "the body does not fit")
    return (salt + len(body).to_bytes(4, "big") + body).ljust(length, b"\0")


def read_blob(blob, audience=None):
    """Salt and body. The audience of a detail stands in its body, so it comes later."""
    need(36 <= len(blob) <= 65536, "length of the blob")
    salt, length = blob[:32], int.from_bytes(blob[32:36], "big")
    need(36 + length <= len(blob), "the body runs past the end")
    body = blob[36 : 36 + length]
    need(not any(blob[36 + length :]), "the padding is not zeros")
    need(audience is None or len(blob) == blob_length(length, audience), "padded length")
    return salt, body


def commitment(kind, blob):
    return sha256(f"sundbro/v1/{kind}\n".encode(), blob)


def payload(data):
    message = decode(wire.PAYLOAD, data, 65500)
    need(len(message) == 1, "not exactly one kind")
    (body,) = message.values()
    check_object_id(body.get("record", {}))
    if "record_withdrawn" in message:
        need("reason" in body, "reason")
        return message
    need(body.get("version", 0) > 0, "version")
    subjects = body.get("subjects", [])
    need(1 <= len(subjects) <= 16, "subjects")
    for tag in subjects:
        check_bytes(tag, "value", 32)
        need(tag.get("scheme", 0) and tag.get("epoch", 0), "scheme or epoch of a tag")
    need(ascending([(tag["scheme"], tag["epoch"], tag["value"]) for tag in subjects]), "order of subjects")
    need("lifecycle" in body, "lifecycle")
    check_bytes(body, "detail_commitment", 32)
    if "replaces" in body:
        check_record_version(body["replaces"])
        need(body["replaces"]["record"] != body["record"], "replaces itself")
    return message


def detail(data):
    message = decode(wire.DETAIL, data, 65500)
    check_record_version(message.get("record", {}))
    audience = message.get("audience", {})
    members = audience.get("members", [])
    need(("all" in audience) != bool(members), "audience")
    need(len(members) <= 256 and ascending(members), "members of the audience")
    for name in members:
        check_member_name(name)
    for name in ("class", "facility", "practice_setting"):
        check_coding(message, name)
    media_type = message.get("media_type", "")
    need(is_text(media_type, 127) and media_type.isascii(), "media_type")
    need(re.match(r"[^/]+/.+", media_type), "media_type")
    check_bytes(message, "content_sha256", 32)
    need("stability" in message and "confidentiality" in message, "stability or confidentiality")
    if "period" in message:
        period = message["period"]
        need(period, "period with neither end")
        need(len(period) < 2 or int(period["start_unix_seconds"]) < int(period["end_unix_seconds"]), "period")
    check_identifier(message, "author_unit")
    need(message["confidentiality"] == "NORMAL" or members, "restricted, and for all")
    need(re.match(r"[A-Za-z0-9-]{0,35}\Z", message.get("language", "")), "language")
    episodes = message.get("episodes", [])
    for episode in episodes:
        check_object_id(episode)
    need(len(episodes) <= 16, "episodes")
    need(ascending([(one["member"], one["id"]) for one in episodes]), "order of episodes")
    return message


def detail_audience(message):
    return "FEDERATION" if "all" in message["audience"] else "LIMITED"


def charter_head(data):
    message = decode(wire.HEAD, data, 262144)
    need(message.get("format") == 1, "format")
    version, previous = int(message.get("version", 0)), message.get("previous", [])
    need(version > 0 and (version == 1) == (not previous), "version or previous")
    need(all(len(one) == 64 for one in previous) and ascending(previous) and len(previous) <= 256, "previous")
    branches = message.get("branches", [])
    for branch in branches:
        check_bytes(branch, "log_id", 32)
        check_bytes(branch, "root", 32)
    need(len(branches) <= 256 and ascending([one["log_id"] for one in branches]), "branches")
    need("environment" in message, "environment")
    stewards = message.get("stewards", [])
    for steward in stewards:
        need(is_text(steward.get("name", ""), 128), "name of a steward")
        admit(bytes.fromhex(steward.get("public_key", "")))
    ordinals = [steward.get("ordinal", 0) for steward in stewards]
    need(len(stewards) <= 64 and ascending([0, *ordinals]), "ordinals")
    need(len({steward["public_key"] for steward in stewards}) == len(stewards), "one key, two stewards")
    need(len(stewards) < 2 * message.get("threshold", 0) <= 2 * len(stewards), "threshold")
    check_authorities(message.get("authorities", []))
    need(message.get("limits", True), "limits there but empty")
    epochs = message.get("subject_epochs", [])
    need([one.get("epoch") for one in epochs] == list(range(1, len(epochs) + 1)), "subject epochs")
    need(len(epochs) <= 1024 and all(one.get("scheme") == 1 for one in epochs), "subject epochs")
    for epoch in epochs:
        check_bytes(epoch, "key_commitment", 32)
    check_bytes(message, "members_root", 32)
    return message


def check_authorities(authorities):
    for authority in authorities:
        certificate = bytes.fromhex(authority.get("certificate", ""))
        need(1 <= len(certificate) <= 8192, "certificate")
        need(authority.get("certificate_sha256") == sha256(certificate).hex(), "digest of a certificate")
        members = authority.get("members", [])
        need(ascending(members), "members of an authority")
        for name in members:
            check_member_name(name)
    need(len(authorities) <= 64, "authorities")
    need(ascending([one["certificate_sha256"] for one in authorities]), "order of authorities")


def check_endpoint(text):
    host, colon, port = text.rpartition(":")
    need(colon and re.match(r"[1-9][0-9]{0,4}\Z", port) and int(port) <= 65535, "port")
    if host.startswith("["):
        need(host.endswith("]"), "host")
        try:
            need(f"[{ipaddress.IPv6Address(host[1:-1])}]" == host, "spelling of an IPv6 address")
        except ValueError as error:
            raise wire.Refused("host") from error
        return
    if re.match(r"[0-9.]+\Z", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise wire.Refused("host") from error
        return
    need(is_dns(host, 253, 1) and not host.rpartition(".")[2].isdigit(), "host")


def member_entry(data):
    message = decode(wire.MEMBER, data, 65536)
    check_member_name(message.get("name", ""))
    need(is_text(message.get("display_name", ""), 200), "display_name")
    identifiers = message.get("identifiers", [])
    for identifier in identifiers:
        check_pair(identifier, ("system", "value"), (256, 128))
    pairs = [(one["system"].encode(), one["value"].encode()) for one in identifiers]
    need(len(pairs) <= 16 and ascending(pairs), "identifiers")
    roles = [wire.to_number(wire.ROLE, role) for role in message.get("roles", [])]
    need(len(roles) <= 16 and ascending(roles), "roles")
    need("state" in message, "state")
    check_endpoint(message.get("endpoint", ""))
    epochs = message.get("log_epochs", [])
    need(1 <= len(epochs) <= 64, "log epochs")
    need([one.get("epoch") for one in epochs] == list(range(1, len(epochs) + 1)), "log epochs")
    need(all("end" in one for one in epochs[:-1]), "an epoch without an end")
    for epoch in epochs:
        if "end" in epoch:
            check_bytes(epoch["end"], "root", 32)
    keys = message.get("keys", [])
    need(len(keys) <= 512 and ascending([0, *(key.get("key_id", 0) for key in keys)]), "key ids")
    for key in keys:
        check_key(key, len(epochs))
    need(len({key["public_key"] for key in keys}) == len(keys), "a public key twice")
    return message


def check_key(key, epochs):
    check_bytes(key, "public_key", 32)
    need("purpose" in key and "algorithm" in key, "purpose or algorithm")
    sealing = key["purpose"] == "SEALING"
    need((key["algorithm"] == "X25519") == sealing, "algorithm")
    public = bytes.fromhex(key["public_key"])
    if sealing:
        x25519(b"\1" * 32, public)
    else:
        admit(public)
    of_log = key["purpose"] in ("TRANSACTION", "CHECKPOINT")
    need((1 if of_log else 0) <= key.get("log_epoch", 0) <= (epochs if of_log else 0), "log_epoch")
    need(key.get("to") != "0", "a range that ends at 0")


def covers(key, at, first=False):
    start, end = int(key.get("from", 0)), int(key.get("to", 1 << 64))
    if key["purpose"] == "CHECKPOINT":
        return first if at == 0 else start < at <= end
    return start <= at < end


def common(schema, data, limit):
    message = decode(schema, data, limit)
    need(message.get("format") == 1, "format")
    need(int(message.get("charter_version", 0)) > 0 and message.get("key_id", 0) > 0, "key")
    return message


def request(data):
    message = common(wire.REQUEST, data, 4096)
    check_member_name(message.get("requester", ""))
    check_record_version(message.get("record", {}))
    need(message.get("owner") == message["record"]["record"]["member"], "owner")
    check_pair(message, ("user", "role"), (128, 64))
    check_identifier(message, "unit")
    need("purpose" in message and "assurance" in message, "purpose or assurance")
    check_bytes(message, "nonce", 16)
    need(int(message.get("requested_unix_seconds", 0)) >= 0, "time before 1970")
    return message


def grant(data):
    message = common(wire.GRANT, data, 73728)
    check_bytes(message, "request_sha256", 32)
    check_bytes(message, "policy_sha256", 32)
    need("outcome" in message, "outcome")
    if message["outcome"] == "REFUSED":
        need(len(message) == 6, "a refusal says more than that")
        return message
    need(is_text(message.get("rule", ""), 256), "rule")
    need(all(len(one) == 64 for one in message.get("inclusion_proof", [])), "inclusion_proof")
    check_bytes(message, "expected_sha256", 32)
    return message


def completion(data):
    message = common(wire.COMPLETION, data, 256)
    check_bytes(message, "grant_sha256", 32)
    check_bytes(message, "content_sha256", 32)
    need("status" in message, "status")
    return message


def acknowledgement(data):
    message = common(wire.ACKNOWLEDGEMENT, data, 256)
    check_bytes(message, "completion_sha256", 32)
    need("status" in message, "status")
    return message
