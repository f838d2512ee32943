"""Handshakes made by hand with tlslite-ng, good and hostile, at both doors of a gateway.

    handshakes.py PKI FEDERATION_PORT LOCAL_PORT

PKI is a folder of `sundbro certs dev` for hospital.example. Each cell has one outcome that is expected: what the
gateway says (`settings`: it serves HTTP/2), the alert by which it refuses, or `closed`. Prints the cells that came out
otherwise and, last, `CELLS N tried, N as expected, N unexpected`.
"""

import pathlib
import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection, X509, X509CertChain, parsePEMKey
from tlslite.constants import AlertDescription, ExtensionType, HandshakeType
from tlslite.errors import TLSAbruptCloseError, TLSLocalAlert, TLSRemoteAlert
from tlslite.extensions import TLSExtension
from tlslite.messages import ClientHello

# Longer than the gateway's own deadline for a handshake, on a machine that does much else.
SECONDS = 60
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")

PKI = pathlib.Path(sys.argv[1])
PORTS = {"federation": int(sys.argv[2]), "local": int(sys.argv[3])}


def credentials(stem: str, key: str | None = None) -> dict:
    folder = PKI / "hospital.example"
    certificate = X509()
    certificate.parse((folder / f"{stem}.pem").read_text())
    private = parsePEMKey((folder / f"{key or stem}.key").read_text(), private=True)
    return {"certChain": X509CertChain([certificate]), "privateKey": private}


GOOD = {
    "federation": credentials("federation"),
    "local": credentials("operations.local.example"),
}


class Forger(TLSConnection):
    """A client whose messages can be changed, or left out, before they are sent."""

    change = staticmethod(lambda message: message)

    def _sendMsg(self, msg, randomizeFirstBlock=True, update_hashes=True):
        changed = self.change(msg)
        if changed is not None:
            yield from super()._sendMsg(changed, randomizeFirstBlock, update_hashes)


def settings(lowest=(3, 4), highest=(3, 4), **more) -> HandshakeSettings:
    chosen = HandshakeSettings()
    chosen.minVersion, chosen.maxVersion = lowest, highest
    # It would compress its certificate for a server that never said that it can read that.
    chosen.certificate_compression_send = chosen.certificate_compression_receive = []
    for name, value in more.items():
        setattr(chosen, name, value)
    return chosen


def dial(door: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", PORTS[door]), timeout=SECONDS)


def outcome(talk) -> str:
    """What the other side said: the name of an alert, `closed`, or what `talk` returns."""
    try:
        return talk()
    except TLSRemoteAlert as alert:
        return AlertDescription.toStr(alert.description)
    except TLSLocalAlert as alert:
        return f"our side gave up: {AlertDescription.toStr(alert.description)} {alert.message or ''}"
    except (TLSAbruptCloseError, ConnectionError):
        return "closed"
    except socket.timeout:
        return "nothing in time"


def shake(door: str, change=None, chosen=None, alpn=(b"h2",), after=None, refused=False, **shown) -> str:
    """One handshake, and then the first word of the gateway.

    Where a refusal is expected that comes after our own part of the handshake, nothing more is said: the gateway would
    answer it with a reset, which can swallow the alert.
    """

    def talk() -> str:
        with dial(door) as raw:
            connection = Forger(raw)
            if change:
                connection.change = change
            connection.handshakeClientCert(
                settings=chosen or settings(), alpn=[bytearray(name) for name in alpn] or None, **shown
            )
            if after:
                return after(connection)
            # Members hear our settings frame at once; local systems speak first.
            if door == "local" and not refused:
                connection.write(PREFACE)
            first = connection.read(max=9, min=1)
            if connection.tickets or connection.tls_1_0_tickets:
                return "a ticket to resume with"
            if connection.session and connection.session.sessionID:
                return "a session to resume"
            return "settings" if len(first) > 3 and first[3] == 4 else f"said {bytes(first)!r}"

    return outcome(talk)


def say(door: str, words: bytes) -> str:
    """Bytes that are no handshake; the alert that comes back in plain text, if one does."""

    def talk() -> str:
        with dial(door) as raw:
            raw.sendall(words)
            raw.shutdown(socket.SHUT_WR)
            answer = raw.recv(1024)
            if len(answer) >= 7 and answer[0] == 21:
                return AlertDescription.toStr(answer[6])
            return f"said {answer!r}" if answer else "closed"

    return outcome(talk)


def of_hello(edit):
    def change(message):
        if isinstance(message, ClientHello):
            edit(message)
        return message

    return change


def without(kind: int):
    return lambda message: None if getattr(message, "handshakeType", None) == kind else message


def with_extension(number: int, content: bytes = b"", first: bool = True):
    def edit(hello):
        # Before the others: a pre_shared_key must stay the last.
        hello.extensions.insert(0 if first else len(hello.extensions), TLSExtension(extType=number).create(number, bytearray(content)))

    return of_hello(edit)


def spoilt(kind: int, field: str):
    """A signature or MAC with one bit flipped."""

    def change(message):
        if getattr(message, "handshakeType", None) == kind:
            value = bytearray(getattr(message, field))
            value[-1] ^= 1
            setattr(message, field, value)
        return message

    return change


def hello_again(connection) -> str:
    """A second ClientHello inside the connection: a renegotiation."""
    if connection.version < (3, 4):
        connection.write(PREFACE)
    hello = ClientHello().create((3, 3), bytearray(32), bytearray(0), [0x1301, 0xC02B], extensions=[])
    for _ in connection._sendMsg(hello):
        pass
    heard = bytearray()
    while True:
        more = connection.read(max=4096, min=1)
        if not more:
            return "closed"
        heard += more
        if len(heard) > 65_536:
            return "it goes on"


def cells():
    tls12 = settings((3, 3), (3, 3))
    for door, good in GOOD.items():
        federation = door == "federation"
        either = lambda of_federation, of_local: of_federation if federation else of_local

        yield door, "a good handshake", shake(door, **good), "settings"
        for name, group in (("P-256", "secp256r1"), ("P-384", "secp384r1"), ("X25519", "x25519")):
            chosen = settings(eccCurves=[group], keyShares=[group], dhGroups=[])
            yield door, f"with {name} alone", shake(door, chosen=chosen, **good), "settings"
        for name, group in (("P-521", "secp521r1"), ("X448", "x448")):
            chosen = settings(eccCurves=[group], keyShares=[group], dhGroups=[])
            yield door, f"with {name} alone", shake(door, chosen=chosen, **good), "handshake_failure"
        for cipher in ("aes128gcm", "aes256gcm", "chacha20-poly1305"):
            chosen = settings(cipherNames=[cipher])
            yield door, f"with {cipher} alone", shake(door, chosen=chosen, **good), "settings"
        chosen = settings(cipherNames=["aes128ccm"])
        yield door, "with AES-CCM alone", shake(door, chosen=chosen, **good), "handshake_failure"

        # A hello that old names no signature algorithms, which is missed first.
        for name, version in (("SSL 3.0", (3, 0)), ("TLS 1.0", (3, 1)), ("TLS 1.1", (3, 2))):
            yield door, f"{name} alone", shake(door, chosen=settings(version, version), **good), "handshake_failure"
        yield door, "TLS 1.2 alone", shake(door, chosen=tls12, **good), either("protocol_version", "settings")

        yield door, "another protocol alone", shake(door, alpn=(b"spdy/3",), **good), "no_application_protocol"
        yield door, "no protocol named", shake(door, alpn=(), **good), either("closed", "settings")

        yield door, "no certificate", shake(door), either("certificate_required", "settings")
        yield door, "another's key", shake(door, refused=True, **credentials(either("federation", "operations.local.example"), "local")), "decrypt_error"
        dropped = without(HandshakeType.certificate_verify)
        yield door, "a certificate without proof", shake(door, refused=True, change=dropped, **good), "unexpected_message"
        wrong = spoilt(HandshakeType.certificate_verify, "signature")
        yield door, "a proof with one bit flipped", shake(door, refused=True, change=wrong, **good), "decrypt_error"
        wrong = spoilt(HandshakeType.finished, "verify_data")
        yield door, "a Finished with one bit flipped", shake(door, refused=True, change=wrong, **good), "decrypt_error"
        dropped = without(HandshakeType.certificate)
        yield door, "a proof without a certificate", shake(door, refused=True, change=dropped, **good), "unexpected_message"

        psk = settings(pskConfigs=[(b"a session of ours", b"\x5a" * 32)])
        yield door, "a session that never was", shake(door, chosen=psk, **good), "settings"
        early = with_extension(42)
        yield door, "early data announced, none sent", shake(door, change=early, **good), "settings"
        compressed = of_hello(lambda hello: setattr(hello, "compression_methods", [1, 0]))
        yield door, "compression offered", shake(door, change=compressed, **good), "illegal_parameter"
        compressed = of_hello(lambda hello: setattr(hello, "compression_methods", [1]))
        yield door, "compression alone", shake(door, change=compressed, **good), "illegal_parameter"
        twice = with_extension(ExtensionType.supported_versions, b"\x02\x03\x04")
        yield door, "an extension twice", shake(door, change=twice, **good), "illegal_parameter"
        yield door, "a renegotiation", shake(door, after=hello_again, **good), "unexpected_message"
        if not federation:
            again = shake(door, chosen=tls12, after=hello_again, **good)
            yield door, "a renegotiation in TLS 1.2", again, "no_renegotiation"

        record = bytes.fromhex("160301")
        yield door, "nothing at all", say(door, b""), "closed"
        yield door, "plain HTTP", say(door, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "decode_error"
        yield door, "SSL 2.0", say(door, bytes.fromhex("802e0100020015000000100100800200800600400400800700c0")), "decode_error"
        yield door, "a record of 65,535 bytes", say(door, record + b"\xff\xff" + b"\x01" * 100), "decode_error"
        yield door, "a record of 0 bytes", say(door, record + b"\x00\x00"), "decode_error"
        yield door, "a record of no known kind", say(door, bytes.fromhex("9903030005") + b"hello"), "decode_error"
        yield door, "an alert first", say(door, bytes.fromhex("15030100020100")), "closed"
        yield door, "a handshake of 16 MiB", say(door, record + bytes.fromhex("0004") + b"\x01\xff\xff\xff"), "closed"
        yield door, "a hello whose length lies", say(door, record + bytes.fromhex("0008") + b"\x01\x00\x00\x04\x03\x03\x00\x00"), "decode_error"
        yield door, "half a hello", say(door, record + bytes.fromhex("0200") + b"\x01\x00\x01\xfc\x03\x03"), "closed"
        yield door, "data before the handshake", say(door, bytes.fromhex("1703030005") + b"hello"), "unexpected_message"


def main() -> int:
    tried = unexpected = 0
    for door, what, got, expected in cells():
        tried += 1
        if got != expected:
            unexpected += 1
            print(f"UNEXPECTED {door} door: {what}: expected {expected}, got {got}", flush=True)
    print(f"CELLS {tried} tried, {tried - unexpected} as expected, {unexpected} unexpected")
    return 1 if unexpected or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
