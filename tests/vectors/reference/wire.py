"""Canonical messages (docs/protocol.md section 1), as objects of field names.

bytes are hex, 64-bit integers decimal strings, enums names: the form of the vector files.
"""


class Refused(Exception):
    """Bytes or values that the protocol does not let through."""


def need(condition, problem):
    if not condition:
        raise Refused(problem)


class Message(dict):
    """A decoded message: whoever asks for a field that is absent refuses it."""

    def __missing__(self, name):
        raise Refused(f"{name} is absent")


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def read_varint(data, at):
    number = 0
    for place in range(10):
        need(at < len(data), "varint cut off")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            need(byte != 0 or place == 0, "varint longer than needed")
            need(number < 1 << 64, "varint of more than 64 bits")
            return number, at
    raise Refused("varint of more than ten bytes")


def enum(*names, closed=False):
    return ("enum", dict(enumerate(names, 1)), closed)


# How a field of each kind stands in JSON and in bytes. "optional" is "with presence"; a list is [kind].
PURPOSE_OF_KEY = enum("TRANSACTION", "CHECKPOINT", "SERVICE", "WITNESS", "SEALING", "ROOT", closed=True)
OBJECT_ID = {1: ("member", "text"), 2: ("id", "bytes")}
RECORD_VERSION = {1: ("record", OBJECT_ID), 2: ("version", "uint32")}
CODING = {1: ("system", "text"), 2: ("code", "text")}
IDENTIFIER = {1: ("system", "text"), 2: ("value", "text")}
TAG = {1: ("scheme", "uint32"), 2: ("epoch", "uint32"), 3: ("value", "bytes")}

HEADER = {
    1: ("format", "uint32"),
    2: ("charter_version", "uint64"),
    3: ("log_id", "bytes"),
    4: ("position", "uint64"),
    5: ("previous_leaf", "bytes"),
    6: ("key_id", "uint32"),
    7: ("incarnation", "uint32"),
    8: ("recorded_hour", "uint32"),
    9: ("payload_commitment", "bytes"),
    10: ("payload_size", "uint32"),
    11: ("audience", enum("FEDERATION", "LIMITED", closed=True)),
}
REGISTERED = {
    1: ("record", OBJECT_ID),
    2: ("version", "uint32"),
    3: ("subjects", [TAG]),
    4: ("lifecycle", enum("PRELIMINARY", "FINAL", "AMENDED")),
    5: ("detail_commitment", "bytes"),
    6: ("replaces", RECORD_VERSION),
}
WITHDRAWN = {
    1: ("record", OBJECT_ID),
    2: ("reason", enum("SOURCE_REMOVED", "ENTERED_IN_ERROR", "SOURCE_LOST")),
}
PAYLOAD = {1: ("record_registered", REGISTERED), 2: ("record_withdrawn", WITHDRAWN)}
DETAIL = {
    1: ("record", RECORD_VERSION),
    2: ("audience", {1: ("all", "bool"), 2: ("members", ["text"])}),
    3: ("class", CODING),
    4: ("media_type", "text"),
    5: ("content_sha256", "bytes"),
    6: ("content_size_bytes", "uint64"),
    7: ("stability", enum("STABLE", "ON_DEMAND", closed=True)),
    8: ("period", {1: ("start_unix_seconds", "optional int64"), 2: ("end_unix_seconds", "optional int64")}),
    9: ("author_unit", IDENTIFIER),
    10: ("facility", CODING),
    11: ("practice_setting", CODING),
    12: ("confidentiality", enum("NORMAL", "RESTRICTED", "VERY_RESTRICTED", closed=True)),
    13: ("language", "text"),
    14: ("episodes", [OBJECT_ID]),
}
BRANCH = {1: ("log_id", "bytes"), 2: ("size", "uint64"), 3: ("root", "bytes")}
STEWARD = {1: ("ordinal", "uint32"), 2: ("name", "text"), 3: ("public_key", "bytes")}
AUTHORITY = {1: ("certificate_sha256", "bytes"), 2: ("certificate", "bytes"), 3: ("members", ["text"])}
LIMITS = {1: ("max_format", "uint32"), 2: ("max_log_bytes_per_day", "uint64")}
SUBJECT_EPOCH = {1: ("epoch", "uint32"), 2: ("scheme", "uint32"), 3: ("key_commitment", "bytes")}
HEAD = {
    1: ("format", "uint32"),
    2: ("version", "uint64"),
    3: ("previous", ["bytes"]),
    4: ("branches", [BRANCH]),
    5: ("environment", enum("TEST", "PRODUCTION", closed=True)),
    6: ("stewards", [STEWARD]),
    7: ("threshold", "uint32"),
    8: ("authorities", [AUTHORITY]),
    9: ("recovery_quorum", "uint32"),
    10: ("witness_quorum", "uint32"),
    11: ("limits", LIMITS),
    12: ("subject_epochs", [SUBJECT_EPOCH]),
    13: ("members_count", "uint64"),
    14: ("members_root", "bytes"),
}
KEY = {
    1: ("key_id", "uint32"),
    2: ("purpose", PURPOSE_OF_KEY),
    3: ("algorithm", enum("ED25519", "X25519", closed=True)),
    4: ("public_key", "bytes"),
    5: ("log_epoch", "uint32"),
    6: ("from", "uint64"),
    7: ("to", "optional uint64"),
}
ROLE = enum("GENERAL_PRACTICE", "HOSPITAL", "LABORATORY", "MUNICIPALITY", "REGION")
LOG_EPOCH = {1: ("epoch", "uint32"), 2: ("end", {1: ("size", "uint64"), 2: ("root", "bytes")})}
MEMBER = {
    1: ("name", "text"),
    2: ("display_name", "text"),
    3: ("identifiers", [IDENTIFIER]),
    4: ("roles", [ROLE]),
    5: ("state", enum("ACTIVE", "SUSPENDED", "LEFT", closed=True)),
    6: ("endpoint", "text"),
    7: ("keys", [KEY]),
    8: ("log_epochs", [LOG_EPOCH]),
}
KEYED_SIGNATURE = {1: ("key_id", "uint32"), 2: ("signature", "bytes")}
STEWARD_SIGNATURE = {1: ("ordinal", "uint32"), 2: ("signature", "bytes")}
CARD = {1: ("entry", "bytes"), 2: ("signatures", [KEYED_SIGNATURE])}
KEY_GRANT = {
    1: ("epoch", "uint32"),
    2: ("sealing_key_id", "uint32"),
    3: ("enc", "bytes"),
    4: ("ciphertext", "bytes"),
}
CHUNK = {
    1: ("log_id", "bytes"),
    2: ("start", "uint64"),
    3: ("tree_size", "uint64"),
    4: ("bundle", "bytes"),
    5: ("proof", ["bytes"]),
    6: ("checkpoint", "bytes"),
}
REQUEST = {
    1: ("format", "uint32"),
    2: ("requester", "text"),
    3: ("owner", "text"),
    4: ("record", RECORD_VERSION),
    5: ("charter_version", "uint64"),
    6: ("key_id", "uint32"),
    7: ("user", "text"),
    8: ("role", "text"),
    9: ("unit", IDENTIFIER),
    10: ("purpose", enum("TREATMENT", "EMERGENCY_TREATMENT", "PATIENT_REQUEST", "HEALTHCARE_OPERATIONS")),
    11: ("break_glass_reason", enum("VITAL_INTEREST", "OTHERS_VITAL_INTEREST")),
    12: ("assurance", enum("CLIENT_ASSERTED", "TOKEN_VERIFIED", closed=True)),
    13: ("nonce", "bytes"),
    14: ("requested_unix_seconds", "int64"),
}
GRANT = {
    1: ("format", "uint32"),
    2: ("request_sha256", "bytes"),
    3: ("outcome", enum("PERMITTED", "REFUSED", closed=True)),
    4: ("rule", "text"),
    5: ("policy_sha256", "bytes"),
    6: ("entry", "bytes"),
    7: ("inclusion_proof", ["bytes"]),
    8: ("checkpoint", "bytes"),
    9: ("expected_size_bytes", "uint64"),
    10: ("expected_sha256", "bytes"),
    11: ("charter_version", "uint64"),
    12: ("key_id", "uint32"),
}
COMPLETION = {
    1: ("format", "uint32"),
    2: ("grant_sha256", "bytes"),
    3: ("bytes_sent", "uint64"),
    4: ("content_sha256", "bytes"),
    5: ("status", enum("COMPLETE", "ABORTED", closed=True)),
    6: ("charter_version", "uint64"),
    7: ("key_id", "uint32"),
}
ACKNOWLEDGEMENT = {
    1: ("format", "uint32"),
    2: ("completion_sha256", "bytes"),
    3: ("status", enum("MATCHING", "MISMATCH", closed=True)),
    4: ("charter_version", "uint64"),
    5: ("key_id", "uint32"),
}
SIGNED = {1: ("message", "bytes"), 2: ("signature", "bytes")}
RECEIPT_HEAD = {1: ("head", "bytes"), 2: ("signatures", [STEWARD_SIGNATURE])}
RECEIPT_MEMBER = {
    1: ("charter_version", "uint64"),
    2: ("entry", "bytes"),
    3: ("index", "uint64"),
    4: ("inclusion_proof", ["bytes"]),
}
RECEIPT = {
    1: ("format", "uint32"),
    2: ("heads", [RECEIPT_HEAD]),
    3: ("members", [RECEIPT_MEMBER]),
    4: ("request", SIGNED),
    5: ("grant", SIGNED),
    6: ("completion", SIGNED),
    7: ("acknowledgement", SIGNED),
    8: ("payload_blob", "bytes"),
    9: ("detail_blob", "bytes"),
}


def is_varint(kind):
    return isinstance(kind, tuple) or (isinstance(kind, str) and kind.split()[-1] not in ("text", "bytes"))


def to_number(kind, value):
    """The number of a varint field as it is written."""
    if isinstance(kind, tuple):
        return {name: number for number, name in kind[1].items()}.get(value, value)
    number = int(value)
    return number & (1 << 64) - 1 if kind.endswith("int64") else number


def from_number(kind, number):
    if isinstance(kind, tuple):
        need(number < 1 << 31 and number != 0, "enum out of range")
        need(number in kind[1] or not kind[2], "a closed enum has no such number")
        return kind[1].get(number, number)
    if kind == "bool":
        need(number == 1, "bool that is neither 0 nor 1")
        return True
    if kind == "uint32":
        need(number < 1 << 32, "number of more than 32 bits")
        return number
    signed = number - (1 << 64) if kind.endswith(" int64") or kind == "int64" else number
    return str(signed if number >= 1 << 63 else number)


def encode(schema, message):
    """The canonical bytes of a message."""
    need(set(message) <= {name for name, _ in schema.values()}, "a field that the message does not have")
    out = b""
    for number, (name, kind) in sorted(schema.items()):
        if name not in message:
            continue
        value = message[name]
        if not isinstance(kind, list):
            out += encode_field(number, kind, value)
        elif is_varint(kind[0]):
            packed = b"".join(varint(to_number(kind[0], one)) for one in value)
            out += varint(number * 8 + 2) + varint(len(packed)) + packed
        else:
            out += b"".join(encode_field(number, kind[0], one) for one in value)
    return out


def encode_field(number, kind, value):
    if is_varint(kind):
        return varint(number * 8) + varint(to_number(kind, value))
    if isinstance(kind, dict):
        data = encode(kind, value)
    else:
        data = value.encode() if kind == "text" else bytes.fromhex(value)
    return varint(number * 8 + 2) + varint(len(data)) + data


def decode(schema, data, limit=1 << 24):
    """Reads a message and refuses every encoding of it but the canonical one."""
    need(len(data) <= limit, "too long")
    message, at, last = Message(), 0, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        need(number in schema, "unknown field")
        name, kind = schema[number]
        repeats = isinstance(kind, list) and not is_varint(kind[0])
        need(number > last or (repeats and number == last), "fields out of order, or one twice")
        last = number
        if is_varint(kind):
            need(wire_type == 0, "wire type")
            written, at = read_varint(data, at)
            message[name] = from_number(kind, written)
            need(written != 0 or kind.startswith("optional"), "a default that is written")
            continue
        need(wire_type == 2, "wire type")
        length, at = read_varint(data, at)
        need(length <= len(data) - at, "field cut off")
        field, at = data[at : at + length], at + length
        if repeats:
            message.setdefault(name, []).append(decode_value(kind[0], field))
        elif isinstance(kind, list):
            message[name] = decode_packed(kind[0], field)
        else:
            need(length > 0 or isinstance(kind, dict), "a default that is written")
            message[name] = decode_value(kind, field)
    return message


def decode_packed(kind, field):
    need(field, "an empty list that is written")
    values, at = [], 0
    while at < len(field):
        number, at = read_varint(field, at)
        values.append(from_number(kind, number))
    return values


def decode_value(kind, field):
    if isinstance(kind, dict):
        return decode(kind, field)
    if kind == "bytes":
        return field.hex()
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
