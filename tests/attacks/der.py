"""The little ASN.1 that makes certificates which openssl would not: DER is read and written as far as that needs."""

import base64
import os
import subprocess
import tempfile

SEQUENCE, INTEGER, BIT_STRING, OCTET_STRING, OID = 0x30, 0x02, 0x03, 0x04, 0x06
P256 = bytes.fromhex("2a8648ce3d030107")
POINT_SIZE = 65


def encode(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    octets = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + body


def elements(body):
    """The elements that a constructed one's content consists of, each with its head."""
    parts = []
    while body:
        size, head = body[1], 2
        if size & 0x80:
            head += size & 0x7f
            size = int.from_bytes(body[2:head], "big")
        parts.append(body[:head + size])
        body = body[head + size:]
    return parts


def content(element):
    return element[2 if element[1] < 0x80 else 2 + (element[1] & 0x7f):]


def from_pem(pem):
    """The first block's bytes."""
    lines = pem.split("-----")[2].split()
    return base64.b64decode("".join(lines))


def to_pem(der, kind):
    text = base64.b64encode(der).decode()
    lines = [text[start:start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def _replace(element, old, new):
    """An element with bytes inside exchanged, all lengths around them with them."""
    if old not in element:
        return element
    if element[0] & 0x20:
        return encode(element[0], *(_replace(part, old, new) for part in elements(content(element))))
    return encode(element[0], content(element).replace(old, new))


def patched(pem, old, new, key_file):
    """A certificate in PEM with bytes of it exchanged, signed anew (SHA-256) with the issuer's key."""
    tbs, algorithm, _ = elements(content(from_pem(pem)))
    assert old in tbs, old
    tbs = _replace(tbs, old, new)
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "tbs")
        with open(path, "wb") as file:
            file.write(tbs)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key_file, path], capture_output=True, check=True).stdout
    return to_pem(encode(SEQUENCE, tbs, algorithm, encode(BIT_STRING, b"\0", signature)), "CERTIFICATE")


def _key_without_secret(certificate_pem):
    """
    What somebody has who has a certificate (P-256) and not its key: a key file in PEM with the certificate's public half, so that
    a TLS library takes the two for a pair, and a private half of his own.
    """
    der = from_pem(certificate_pem)
    start = der.index(encode(OID, P256)) + len(encode(OID, P256))
    point = content(elements(der[start:start + POINT_SIZE + 3])[0])[1:]
    assert len(point) == POINT_SIZE and point[0] == 4
    return to_pem(encode(SEQUENCE, encode(INTEGER, b"\1"), encode(OCTET_STRING, os.urandom(31).rjust(32, b"\0")),
                         encode(0xa0, encode(OID, P256)), encode(0xa1, encode(BIT_STRING, b"\0", point))), "EC PRIVATE KEY")


def without_key(credentials):
    """The certificate of these (authority.Credentials), with a key that only looks like its own."""
    with open(credentials.chain_file, encoding="ascii") as file:
        key = _key_without_secret(file.read())
    path = credentials.key_file + ".forged"
    with open(path, "w", encoding="ascii") as file:
        file.write(key)
    return type(credentials)(credentials.chain_file, path)
