"""An agent for tests: fills sparse files chunk by chunk in random order and speaks agent_wire.h."""
import argparse, ctypes, os, random, selectors, signal, socket, struct, sys, threading, time

HEADER = struct.Struct("<IHHII")
MAGIC, VERSION, PRESENCE_VERSION = 0x4D434157, 1, 2
OPEN, DEMAND, SUBSCRIBE, OPENED, ERROR, NOTICE = 1, 2, 3, 64, 65, 66
FILLING, COMPLETE, FAILED = 0, 1, 2
libc = ctypes.CDLL(None, use_errno=True)


class Model:
    """A cache directory: `source` holds the true files, `cache` what readers see."""

    def __init__(self, source, cache, chunk):
        self.cache, self.chunk, self.files = cache, chunk, []
        self.lock = threading.Lock()
        self.demands = []
        for root, _, names in sorted(os.walk(source)):
            for name in sorted(names):
                path = os.path.join(root, name)
                self.files.append(PresentFile(self, len(self.files), os.path.relpath(path, source), path))


class PresentFile:
    def __init__(self, model, index, key, source):
        self.model, self.index, self.key = model, index, key
        self.data = open(source, "rb").read()
        self.partial = os.path.join(model.cache, ".partial", key)
        self.presence = os.path.join(model.cache, ".presence", key)
        for path in (self.partial, self.presence):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        self.chunks = -(-len(self.data) // model.chunk)
        section = -(-(-(-self.chunks // 64) * 8) // 64) * 64
        size = 512 + 2 * section + 8 * self.chunks
        fresh = not os.path.exists(self.presence)
        self.fd = os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self.fd, len(self.data))
        fd = os.open(self.presence, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(fd, size)
        import mmap
        self.map = mmap.mmap(fd, size)
        os.close(fd)
        if fresh:
            struct.pack_into("<QIIQQQIIIIQQQ", self.map, 0, 0x31535250434D0000, PRESENCE_VERSION, index, len(self.data), model.chunk,
                             self.chunks, FILLING, 0, 1, 0, 512, 512 + section, 512 + 2 * section)
            self.map[80:96] = GENERATION
        self.missing = [i for i in range(self.chunks) if not self.map[512 + i // 8] >> (i % 8) & 1]
        self.notify = lambda: None
        if not self.data:
            self.finish()

    def bump(self):
        (sequence,) = struct.unpack_from("<I", self.map, 44)
        struct.pack_into("<I", self.map, 44, (sequence + 1) & 0xFFFFFFFF)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map, 44))
        libc.syscall(202 if os.uname().machine == "x86_64" else 98, ctypes.c_void_p(address), 1, 0x7FFFFFFF, None, None, 0)
        self.notify()

    def fill(self, chunk):
        start = chunk * self.model.chunk
        piece = self.data[start:start + self.model.chunk]
        half = len(piece) // 2
        os.pwrite(self.fd, piece[:half], start)
        os.pwrite(self.fd, piece[half:], start + half)
        self.map[512 + chunk // 8] |= 1 << (chunk % 8)
        self.bump()

    def finish(self):
        plain = os.path.join(self.model.cache, self.key)
        os.makedirs(os.path.dirname(plain), exist_ok=True)
        if not os.path.exists(plain):
            os.link(self.partial, plain)
        self.set_state(COMPLETE)

    def set_state(self, state, message=""):
        self.map[240:240 + len(message) + 1] = message.encode() + b"\0"
        struct.pack_into("<I", self.map, 40, state)
        self.bump()


GENERATION = b"G" * 16


def main():
    global GENERATION
    p = argparse.ArgumentParser()
    p.add_argument("--source", required=True)
    p.add_argument("--cache", required=True)
    p.add_argument("--socket", required=True)
    p.add_argument("--chunk", type=int, default=2 << 20)
    p.add_argument("--delay", type=float, default=0.005, help="seconds before each chunk")
    p.add_argument("--only-demands", action="store_true")
    p.add_argument("--stop-after", type=int, default=-1, help="chunks filled before filling stops")
    p.add_argument("--then", default="", help="fail | epoch: what happens where filling stops")
    p.add_argument("--flags", type=int, default=0)
    p.add_argument("--error", default="", help="answer MC_OPEN with this message")
    p.add_argument("--error-code", type=int, default=2, help="mc_error_code of --error")
    p.add_argument("--error-times", type=int, default=-1, help="how often --error is the answer; then the model is opened")
    p.add_argument("--lose", type=int, default=0, help="so many first connections are closed without an answer")
    p.add_argument("--directory", default="", help="the cache directory that MC_OPENED tells, when it is not --cache")
    p.add_argument("--generation", default="G", help="of files made now, and of the set")
    p.add_argument("--set", type=int, default=1, help="number of the set of files that MC_OPENED tells")
    p.add_argument("--replaced", default="", help="key,...: files whose version took another's place in the set of --set")
    p.add_argument("--no-device", action="store_true")
    p.add_argument("--demands", default="", help="file that gets a line for each MC_DEMAND")
    p.add_argument("--record", default="", help="file that each MC_OPEN's settings are appended to, a line each, NULs as blanks")
    p.add_argument("--seed", type=int, default=None)
    a = p.parse_args()
    GENERATION = a.generation.encode() * 16
    seed = a.seed if a.seed is not None else random.randrange(1 << 30)
    print("seed", seed, file=sys.stderr)
    chance = random.Random(seed)
    model = Model(a.source, a.cache, a.chunk)
    total = sum(f.bytes if False else len(f.data) for f in model.files)
    subscribers = []

    def notify():
        for s in list(subscribers):
            try:
                s.send(HEADER.pack(MAGIC, VERSION, NOTICE, 0, 0), socket.MSG_DONTWAIT)
            except OSError:
                pass

    for f in model.files:
        f.notify = notify
        if f.key in a.replaced.split(","):
            struct.pack_into("<Q", f.map, 112, a.set)

    def fill():
        filled = 0
        while True:
            if filled == a.stop_after:
                if a.then == "fail":
                    for f in model.files:
                        f.set_state(FAILED, "the store went away; try again later")
                elif a.then == "epoch":
                    for f in model.files:
                        f.map[240:252] = b"CRC differs\0"
                        (epoch,) = struct.unpack_from("<I", f.map, 48)
                        struct.pack_into("<I", f.map, 48, epoch + 1)
                        f.bump()
                return
            with model.lock:
                chosen = None
                while model.demands and chosen is None:
                    f, chunk = model.demands.pop(0)
                    if chunk in f.missing:
                        chosen = (f, chunk)
                if chosen is None and not a.only_demands:
                    left = [f for f in model.files if f.missing]
                    if not left:
                        return
                    f = chance.choice(left)
                    chosen = (f, chance.choice(f.missing))
            if chosen is None:
                time.sleep(0.002)
                continue
            time.sleep(a.delay)
            f, chunk = chosen
            f.fill(chunk)
            filled += 1
            f.missing.remove(chunk)
            if not f.missing:
                f.finish()

    def serve(s):
        subscribed = False
        try:
            while True:
                packet = s.recv(65536)
                if not packet:
                    return
                magic, version, kind, length, _ = HEADER.unpack_from(packet)
                body = packet[16:16 + length]
                if kind == OPEN:
                    if a.record:
                        with open(a.record, "ab") as record:
                            record.write(body.replace(b"\0", b" ") + b"\n")
                    if a.lose > 0:
                        a.lose -= 1
                        time.sleep(0.1)
                        return
                    if a.error and a.error_times != 0:
                        a.error_times -= 1
                        s.send(HEADER.pack(MAGIC, VERSION, ERROR, 9 + len(a.error), 0) + struct.pack("<II", a.error_code, 0) + a.error.encode() + b"\0")
                        return
                    path = (a.directory or a.cache).encode() + b"\0"
                    answer = HEADER.pack(MAGIC, VERSION, OPENED, 32 + len(path), 0) + struct.pack("<IIQQ", a.flags, len(model.files), total, a.set) \
                        + GENERATION[:8] + path
                    device = -1 if a.no_device else os.open("/dev/userfaultfd", os.O_RDWR) if os.path.exists("/dev/userfaultfd") else -1
                    if device >= 0:
                        socket.send_fds(s, [answer], [device])
                        os.close(device)
                    else:
                        s.send(answer)
                elif kind == SUBSCRIBE:
                    subscribers.append(s)
                elif kind == DEMAND:
                    index, _, offset, length = struct.unpack("<IIQQ", body)
                    if a.demands:
                        with open(a.demands, "a") as demands:
                            demands.write(f"{index} {offset} {length}\n")
                    with model.lock:
                        f = model.files[index]
                        model.demands += [(f, c) for c in range(offset // a.chunk, (offset + length - 1) // a.chunk + 1)]
        finally:
            if s in subscribers:
                subscribers.remove(s)
            s.close()

    try:
        os.unlink(a.socket)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(a.socket)
    listener.listen(64)
    threading.Thread(target=fill, daemon=True).start()
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve, args=(s,), daemon=True).start()


main()
