"""Strict Ed25519, purpose-bound signatures, tags and HPKE (docs/protocol.md sections 2 and 8; RFC 8032, RFC 9180)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .wire import Refused, need

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
NEUTRAL = (0, 1, 1, 0)
ADMITTED = {}


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def add(a, b):
    """Sum of two points in extended coordinates (RFC 8032 section 5.1.4)."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number, point):
    total = NEUTRAL
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def is_neutral(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def point_of(data):
    """The point behind its one canonical encoding."""
    need(len(data) == 32, "a point is 32 bytes")
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    need(y < P, "y is not below 2^255 - 19")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    need((x * x - square) % P == 0, "not a point")
    need(x or not sign, "a sign bit on x = 0")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def admit(data):
    """A public key that a charter may list."""
    if data not in ADMITTED:
        try:
            point = point_of(data)
            ADMITTED[data] = not is_neutral(times(8, point)) and is_neutral(times(L, point))
        except Refused:
            ADMITTED[data] = False
    need(ADMITTED[data], "the key is not canonical, of small order, or has torsion")


def verify(key, message, signature):
    """Strict verification; the equation itself and the bound of S are OpenSSL's, which takes no cofactor."""
    need(len(signature) == 64, "a signature is 64 bytes")
    need(not is_neutral(times(8, point_of(key))), "the key is of small order")
    need(not is_neutral(times(8, point_of(signature[:32]))), "R is of small order")
    need(int.from_bytes(signature[32:], "little") < L, "S is not below the group order")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature as error:
        raise Refused("the signature is wrong") from error


def public_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def bound(purpose, federation_id, message):
    """What a signature of ours is over."""
    need(len(federation_id) == 32, "a federation id is 32 bytes")
    return b"sundbro/v1/" + purpose.encode() + b"\n" + federation_id + message


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def prefixed(part):
    return len(part).to_bytes(2, "big") + part


# HPKE, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
KEM_SUITE = b"KEM" + bytes.fromhex("0020")
SUITE = b"HPKE" + bytes.fromhex("0020 0001 0003")


def labeled_extract(suite, salt, label, ikm):
    return mac(salt, b"HPKE-v1", suite, label, ikm)


def labeled_expand(suite, key, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = mac(key, block, info, bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:length]


def derive_secret_key(ikm):
    prk = labeled_extract(KEM_SUITE, b"", b"dkp_prk", ikm)
    return labeled_expand(KEM_SUITE, prk, b"sk", b"", 32)


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Refused("an X25519 key of small order") from error


def hpke_cipher(shared, enc, recipient, info):
    """Key and nonce of the first message."""
    prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", shared)
    secret = labeled_expand(KEM_SUITE, prk, b"shared_secret", enc + recipient, 32)
    context = b"\0" + labeled_extract(SUITE, b"", b"psk_id_hash", b"") + labeled_extract(SUITE, b"", b"info_hash", info)
    prk = labeled_extract(SUITE, secret, b"secret", b"")
    key = labeled_expand(SUITE, prk, b"key", context, 32)
    return ChaCha20Poly1305(key), labeled_expand(SUITE, prk, b"base_nonce", context, 12)


def hpke_seal(ikm, recipient, info, plaintext):
    ephemeral = derive_secret_key(ikm)
    enc = x25519_public(ephemeral)
    cipher, nonce = hpke_cipher(x25519(ephemeral, recipient), enc, recipient, info)
    return enc, cipher.encrypt(nonce, plaintext, b"")


def hpke_open(secret, enc, info, ciphertext):
    need(len(enc) == 32 and len(ciphertext) == 48, "enc is 32 bytes, a sealed key 48")
    cipher, nonce = hpke_cipher(x25519(secret, enc), enc, x25519_public(secret), info)
    try:
        return cipher.decrypt(nonce, ciphertext, b"")
    except InvalidTag as error:
        raise Refused("does not open") from error
