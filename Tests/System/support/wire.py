"""A client of the agent's socket without the library: packets of Sources/DataPlane/AgentWire/include/agent_wire.h."""
import socket
import struct

# enum mc_message_type and the magic of agent_wire.h.
MAGIC, VERSION = 0x4D434157, 1
OPEN, DEMAND, SUBSCRIBE, OPENED, ERROR, NOTICE, CONTROL = 1, 2, 3, 64, 65, 66, 128
HEADER = struct.Struct("<IHHII")


def packet(kind: int, body: bytes = b"", magic: int = MAGIC, version: int = VERSION, length: int | None = None, reserved: int = 0) -> bytes:
    return HEADER.pack(magic, version, kind, len(body) if length is None else length, reserved) + body


def connect(place, seconds: float = 60) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.settimeout(seconds)
    one.connect(str(place.socket))
    return one


def settings(environment: dict) -> bytes:
    sent = ("OSS_", "MODELCACHE_", "HTTP_SOURCE_IP")
    return b"".join(f"{k}={v}\0".encode() for k, v in environment.items() if k.startswith(sent))


def response(one: socket.socket) -> tuple[int, bytes]:
    """Type and body of the next packet; (0, b"") when the agent closed the connection."""
    try:
        data = one.recv(65536)
    except ConnectionResetError:
        return 0, b""
    if not data:
        return 0, b""
    magic, version, kind, length, _ = HEADER.unpack(data[:16])
    assert (magic, version, length) == (MAGIC, VERSION, len(data) - 16)
    return kind, data[16:]


def demand(file: int, offset: int, length: int) -> bytes:
    return packet(DEMAND, struct.pack("<IIQQ", file, 0, offset, length))


def open_model(place, environment: dict, seconds: float = 60) -> socket.socket:
    """A connection that has the model open; raises with the agent's words when it refuses."""
    one = connect(place, seconds)
    one.send(packet(OPEN, settings(environment)))
    kind, body = response(one)
    if kind != OPENED:
        one.close()
        raise RuntimeError(body[8:].rstrip(b"\0").decode() if kind == ERROR else f"packet {kind}")
    return one
