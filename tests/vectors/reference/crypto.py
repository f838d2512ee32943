"""Keys, signatures and the sealed key: Ed25519 with strict checks (§2), HPKE in base mode (§8)."""

import hashlib
import hmac
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .wire import Refused, require

NO_FEDERATION = bytes(32)  # where a federation id is not known yet (§2)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac_sha256(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


# The curve of Ed25519: -x² + y² = 1 + d x² y² modulo p (RFC 8032 §5.1)

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def _point(encoded):
    """The point of 32 bytes as (X, Y, Z, T), or None if they encode none canonically (§2)."""
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign == 1):
        return None
    if x % 2 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _neutral(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


@lru_cache(4096)
def _judge(encoded):
    """Why 32 bytes are no point for a signature, or None."""
    point = _point(encoded)
    if point is None:
        return "is not a canonical point"
    return "is of small order" if _neutral(_times(8, point)) else None


@lru_cache(4096)
def _torsion_free(encoded):
    return _neutral(_times(ORDER, _point(encoded)))


def admit_ed25519(public_key):
    """A public key is admitted to a charter (§2)."""
    fault = _judge(public_key)
    require(fault is None, 2, f"a public key {fault}")
    require(_torsion_free(public_key), 2, "a public key is not torsion-free")


# Signatures


def public_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign_raw(seed, text):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(text)


def verify_raw(key, signature, text):
    """Strict verification (§2); the equation is that of OpenSSL, which is without the cofactor."""
    require(len(key) == 32 and len(signature) == 64, 2, "a key or signature of another length")
    in_range = int.from_bytes(signature[32:], "little") < ORDER
    require(in_range, 2, "a signature whose S is not below the group order")
    for what, encoded in (("public key", key), ("signature's R", signature[:32])):
        fault = _judge(encoded)
        require(fault is None, 2, f"a {what} {fault}")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        raise Refused(2, "a signature that does not hold") from None


def signed_bytes(purpose, federation_id, message):
    """What is under every signature that is not of a note (§2)."""
    return b"sundbro/v1/" + purpose.encode() + b"\n" + federation_id + message


def sign(seed, purpose, federation_id, message):
    return sign_raw(seed, signed_bytes(purpose, federation_id, message))


def verify(key, signature, purpose, federation_id, message):
    verify_raw(key, signature, signed_bytes(purpose, federation_id, message))


# X25519


def x25519_public_key(secret_key):
    return X25519PrivateKey.from_private_bytes(secret_key).public_key().public_bytes_raw()


def exchange(secret_key, public):
    """X25519; the shared secret of a point of small order is refused (RFC 9180 §7.1.4)."""
    try:
        return X25519PrivateKey.from_private_bytes(secret_key).exchange(
            X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused(7, "an X25519 key is of small order") from None


def admit_x25519(public):
    """Canonical and not of small order (§7): clamped scalars take only such points to zero."""
    require(int.from_bytes(public, "little") < P, 7, "an X25519 key is not canonical")
    exchange(bytes([1]) * 32, public)


# HPKE, RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode (§8)

KEM = b"KEM" + bytes.fromhex("0020")
SUITE = b"HPKE" + bytes.fromhex("0020" "0001" "0003")
MODE_BASE = b"\x00"


def _extract(suite, salt, label, material):
    return hmac_sha256(salt or bytes(32), b"HPKE-v1", suite, label, material)


def _expand(suite, key, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac_sha256(key, block, info, bytes([counter]))
        out += block
    return out[:length]


def derive_secret_key(material):
    """DeriveKeyPair for X25519 (RFC 9180 §7.1.3)."""
    return _expand(KEM, _extract(KEM, b"", b"dkp_prk", material), b"sk", b"", 32)


def _shared_secret(secret_key, public, enc, recipient):
    material = _extract(KEM, b"", b"eae_prk", exchange(secret_key, public))
    return _expand(KEM, material, b"shared_secret", enc + recipient, 32)


def _cipher(shared_secret, info):
    """Key schedule of the base mode: the cipher and the nonce of sequence number 0."""
    context = (MODE_BASE + _extract(SUITE, b"", b"psk_id_hash", b"")
               + _extract(SUITE, b"", b"info_hash", info))
    secret = _extract(SUITE, shared_secret, b"secret", b"")
    key = _expand(SUITE, secret, b"key", context, 32)
    return ChaCha20Poly1305(key), _expand(SUITE, secret, b"base_nonce", context, 12)


def seal(recipient, info, plaintext, ephemeral_material):
    """enc and ciphertext for the recipient's public key; the aad is empty."""
    ephemeral = derive_secret_key(ephemeral_material)
    enc = x25519_public_key(ephemeral)
    cipher, nonce = _cipher(_shared_secret(ephemeral, recipient, enc, recipient), info)
    return enc, cipher.encrypt(nonce, plaintext, b"")


def open_sealed(secret_key, enc, info, ciphertext):
    recipient = x25519_public_key(secret_key)
    cipher, nonce = _cipher(_shared_secret(secret_key, enc, enc, recipient), info)
    try:
        return cipher.decrypt(nonce, ciphertext, b"")
    except InvalidTag:
        raise Refused(8, "a sealed key that does not open") from None
