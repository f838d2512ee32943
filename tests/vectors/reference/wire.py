"""A message has exactly one encoding, and a reader refuses every other one."""

from dataclasses import dataclass

VARINT, DELIMITED = 0, 2
U32, U64, I64, BOOL, TEXT, BYTES = "uint32", "uint64", "int64", "bool", "text", "bytes"
LARGEST = {U32: 2**32 - 1, U64: 2**64 - 1, I64: 2**64 - 1, BOOL: 1}
LARGEST_ENUM = 2**31 - 1


class Refused(Exception):
    """What a reader says of bytes that break a rule of protocol.md."""

    def __init__(self, section, rule):
        super().__init__(f"§{section}: {rule}")
        self.section = str(section)


def require(holds, section, rule):
    if not holds:
        raise Refused(section, rule)


@dataclass(frozen=True, eq=False)
class Enum:
    """The numbers of an enum; one that is not closed holds any number from 1 (§1)."""

    names: dict
    closed: bool


@dataclass(frozen=True, eq=False)
class Field:
    number: int
    name: str
    kind: object  # one of the words above, an Enum or a Message
    many: bool = False
    presence: bool = False  # a number that is written even when it is 0
    size: int | None = None  # exact length of bytes
    unspecified: bool = False  # an enum that may be 0

    @property
    def packed(self):
        return self.many and isinstance(self.kind, Enum)

    @property
    def wire_type(self):
        scalar = self.kind in LARGEST or isinstance(self.kind, Enum)
        return VARINT if scalar and not self.packed else DELIMITED

    def absent(self):
        """The value of a field that is not there."""
        if self.many:
            return []
        if self.presence or isinstance(self.kind, Message):
            return None
        if isinstance(self.kind, Enum):
            return 0
        return {TEXT: "", BYTES: b"", BOOL: False}.get(self.kind, 0)


@dataclass(frozen=True, eq=False)
class Message:
    name: str
    section: str  # of protocol.md
    fields: tuple
    limit: int | None = None  # length in bytes up to which one is parsed

    def empty(self):
        return {field.name: field.absent() for field in self.fields}


# Writing


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def delimited(data):
    return varint(len(data)) + data


def _scalar(kind, value):
    if isinstance(kind, Message):
        return delimited(encode(kind, value))
    if kind == TEXT:
        return delimited(value.encode())
    if kind == BYTES:
        return delimited(value)
    return varint(int(value) % 2**64)  # two's complement for int64


def encode(message, value):
    """The canonical encoding of a value, a dict by field name (§1)."""
    out = b""
    for field in message.fields:  # in ascending order of number
        content = value[field.name]
        if content == field.absent():
            continue
        tag = varint(field.number * 8 + field.wire_type)
        if field.packed:
            out += tag + delimited(b"".join(varint(number) for number in content))
        else:
            for element in content if field.many else [content]:
                out += tag + _scalar(field.kind, element)
    return out


# Reading


def read_varint(data, at, largest=2**64 - 1):
    number, start = 0, at
    while True:
        require(at < len(data), 1, "a varint that ends too early")
        require(at - start < 10, 1, "a varint of more than ten bytes")
        number |= (data[at] & 0x7F) << 7 * (at - start)
        at += 1
        if data[at - 1] < 0x80:
            break
    require(varint(number) == data[start:at], 1, "a varint in more bytes than it needs")
    require(number <= largest, 1, "a number beyond its field's type")
    return number, at


def read_delimited(data, at):
    length, at = read_varint(data, at)
    require(length <= len(data) - at, 1, "a length that leads past the end")
    return data[at : at + length], at + length


def _element(field, data, at):
    """One value of a field that begins at `at`, and where it ends."""
    kind = field.kind
    if isinstance(kind, Enum):
        return read_varint(data, at, LARGEST_ENUM)
    if kind in LARGEST:
        number, at = read_varint(data, at, LARGEST[kind])
        if kind == I64 and number >= 2**63:
            number -= 2**64
        return (bool(number) if kind == BOOL else number), at
    content, at = read_delimited(data, at)
    if isinstance(kind, Message):
        return _fields(kind, content), at
    if kind == TEXT:
        try:
            return content.decode(), at
        except UnicodeDecodeError:
            raise Refused(1, f"{field.name} is not UTF-8") from None
    return content, at


def _packed(data):
    numbers, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at, LARGEST_ENUM)
        numbers.append(number)
    return numbers


def _fields(message, data):
    value, at, last = message.empty(), 0, 0
    known = {field.number: field for field in message.fields}
    while at < len(data):
        tag, at = read_varint(data, at, 2**32 - 1)
        number, wire_type = divmod(tag, 8)
        require(number in known, 1, f"{message.name} has no field {number}")
        field = known[number]
        require(wire_type == field.wire_type, 1, f"{field.name} has another wire type")
        require(number >= last, 1, f"{field.name} is not in ascending order of number")
        repeated = field.many and not field.packed
        require(number > last or repeated, 1, f"{field.name} stands twice")
        last = number
        if field.packed:
            content, at = read_delimited(data, at)
            value[field.name] = _packed(content)
        elif field.many:
            content, at = _element(field, data, at)
            value[field.name].append(content)
            continue
        else:
            value[field.name], at = _element(field, data, at)
        left_out = value[field.name] == field.absent()
        require(not left_out, 1, f"{field.name} is written although it has its default value")
    return value


def _tabled(message, value):
    """What the tables say of lengths and enums, for a message and all in it."""
    for field in message.fields:
        content = value[field.name]
        elements = content if field.many else [content]
        for element in elements:
            if field.size is not None:
                holds = len(element) == field.size
                require(holds, message.section, f"{field.name} is not {field.size} bytes")
            if isinstance(field.kind, Message) and element is not None:
                _tabled(field.kind, element)
            if isinstance(field.kind, Enum) and not (element == 0 and field.unspecified):
                listed = element in field.kind.names.values()
                grows = not field.kind.closed and element >= 1
                require(listed or grows, message.section, f"{field.name} may not be {element}")


def decode(message, data):
    """The value of canonical bytes; other bytes are refused (§1)."""
    if message.limit is not None:
        holds = len(data) <= message.limit
        require(holds, message.section, f"{message.name} is longer than {message.limit} bytes")
    value = _fields(message, data)
    require(encode(message, value) == data, 1, "encoded again, the bytes differ")
    _tabled(message, value)
    return value


# JSON of the golden vectors (README)


def from_json(message, given):
    """The value that an object of the vectors stands for."""
    value = message.empty()
    known = {field.name: field for field in message.fields}
    for name, content in given.items():
        field = known[name]
        if field.many:
            value[name] = [_from_json(field, element) for element in content]
        else:
            value[name] = _from_json(field, content)
    return value


def _from_json(field, content):
    kind = field.kind
    wanted = {U32: int, BOOL: bool}.get(kind, dict if isinstance(kind, Message) else str)
    if type(content) is not wanted:
        raise ValueError(f"{field.name} is {content!r}")
    if isinstance(kind, Message):
        return from_json(kind, content)
    if isinstance(kind, Enum):
        return kind.names[content]
    if kind == BYTES:
        return bytes.fromhex(content)
    return int(content) if kind in (U64, I64) else content


def to_json(message, value):
    """The object of the vectors that a value is written as."""
    out = {}
    for field in message.fields:
        content = value[field.name]
        if content != field.absent():
            elements = [_to_json(field, e) for e in (content if field.many else [content])]
            out[field.name] = elements if field.many else elements[0]
    return out


def _to_json(field, content):
    if isinstance(field.kind, Message):
        return to_json(field.kind, content)
    if isinstance(field.kind, Enum):
        names = {number: name for name, number in field.kind.names.items()}
        return names.get(content, f"number {content}")
    if field.kind == BYTES:
        return content.hex()
    return str(content) if field.kind in (U64, I64) else content
