"""Protobuf's wire format, as much of it as the fake control planes need, written from the specification and from no schema file:
what they say is what the field's real ones say, whatever the programs under test believe."""


def varint(number):
    octets = bytearray()
    while number > 0x7f:
        octets.append(number & 0x7f | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def read_varint(message, at):
    """(number, where it ended)."""
    number = shift = 0
    while True:
        octet = message[at]
        number |= (octet & 0x7f) << shift
        shift += 7
        at += 1
        if octet < 0x80:
            return number, at


def field(number, value):
    """One field: a number as a varint, text and bytes (a message, too) with their length. None and what is empty are left out."""
    if not value:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    octets = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(octets)) + octets


def repeated(number, values):
    """A field that is there once for each value, also for an empty one."""
    return b"".join(field(number, value) if value else varint(number << 3 | 2) + b"\0" for value in values)


def read(message):
    """[(field number, value)] in their order; a value is a number or bytes."""
    fields = []
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        value, at = read_varint(message, at)
        if key & 7 == 2:
            value, at = message[at:at + value], at + value
        fields.append((key >> 3, value))
    return fields


def texts(fields, number):
    """The values of a field of texts."""
    return [value.decode() for key, value in fields if key == number]


def frame(message):
    """A gRPC message as it goes into a body: not compressed, its length, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message
