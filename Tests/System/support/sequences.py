"""Random sequences of calls that read files, as scripts for readers/sequence.c, and how a failing one is made short.

A script is lanes of operations. A lane is one thread of control: the first, a thread, a forked child, or a program that exec
made. A sequence says the same on each run over the same bytes, however its lanes interleave: lanes that run at once share
descriptors only for calls that leave the position alone.
"""
import dataclasses
import random
import typing

MIB = 1 << 20
PAGE = 4096
FILES = {
    "a.bin": 9 * MIB + 12345, "sub/b with space.bin": 5 * MIB + 1, "模型.bin": 4 * MIB, "sub/deep/c.bin": 2 * MIB + PAGE - 1,
    "lines.txt": 300_007, "page": PAGE, "page and one": PAGE + 1, "tiny": 1, "empty": 0}
DIRECTORIES = ["@", "sub", "sub/", "sub/deep", "./sub/../sub", "@/"]
ODD_PATHS = ["missing", "sub/missing", "a.bin/", "a.bin/x", "no/such", "./a.bin", "sub/../a.bin", "sub//deep///c.bin", "a.bin/.", "%", "x" * 256, "sub/deep/../b%20with%20space.bin"]
# NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, DOFORK, HUGEPAGE, NOHUGEPAGE, DONTDUMP, COLD, PAGEOUT, POPULATE_READ.
# Not DONTFORK: a forked child has each mapping of an incomplete file.
ADVICE = [0, 1, 2, 3, 4, 4, 8, 11, 14, 15, 16, 20, 21, 22, 22, 999]


def quoted(path: str) -> str:
    return "".join(c if c.isascii() and c not in " %" else "".join(f"%{b:02x}" for b in c.encode()) for c in path)


@dataclasses.dataclass
class Script:
    """`operations`: (lane, operation), in order within each lane."""
    options: list[str]
    operations: list[tuple[int, str]]
    head: str = ""

    def text(self) -> str:
        lines = [f"# {self.head}", " ".join(["options", *self.options])]
        for lane in sorted({lane for lane, _ in self.operations}):
            lines.append(f"lane {lane}")
            lines += [operation for one, operation in self.operations if one == lane]
        return "\n".join(lines) + "\n"

    @staticmethod
    def parse(text: str) -> "Script":
        script, lane = Script([], []), 0
        for line in text.splitlines():
            if line.startswith("#"):
                script.head = line[1:].strip()
            elif line.startswith("options"):
                script.options = line.split()[1:]
            elif line.startswith("lane "):
                lane = int(line.split()[1])
            elif line:
                script.operations.append((lane, line))
        return script

    def operation(self, line: int) -> str:
        """The operation at a line of the text, which is its number in what the program prints."""
        return self.text().splitlines()[line - 1]


@dataclasses.dataclass
class Descriptor:
    file: str
    shared: bool = False      # other lanes use its position now
    mine: bool = True         # may be closed in this lane
    inherited: bool = False   # a parent goes on at its position: no stream, which reads ahead
    closes: bool = False      # on exec

    @property
    def size(self) -> int:
        return FILES.get(self.file, 0)


@dataclasses.dataclass
class Mapping:
    file: str
    offset: int
    bytes: int
    writable: bool = False
    shared: bool = False
    mine: bool = True

    @property
    def pages(self) -> int:
        return -(-self.bytes // PAGE) * PAGE


class Lane:
    """Writes the operations of one lane; knows what its slots most likely hold."""

    def __init__(self, writer: "Writer", number: int, parent: "Lane | None" = None):
        self.writer, self.number, self.random = writer, number, writer.random
        self.fds: dict[int, Descriptor] = {}
        self.maps: dict[int, Mapping] = {}
        self.streams: dict[int, str] = {}
        self.pushed: set[int] = set()  # streams with a byte of ungetc, whose fflush POSIX leaves open
        self.beside = 0  # lanes that run beside this one now
        self.asynchronous = True  # not in a forked child: glibc's threads for aio_read are its parent's

    def emit(self, *words: object) -> None:
        self.writer.operations.append((self.number, " ".join(map(str, words))))

    # ---- choices ----

    def path(self) -> str:
        if self.random.random() < 0.12:
            return self.random.choice(ODD_PATHS)
        return quoted(self.file())

    def file(self) -> str:
        return self.random.choices([*FILES], [8, 6, 3, 3, 3, 1, 1, 1, 1])[0]

    def fd(self, position: bool = False) -> int | None:
        """A slot with a descriptor; sometimes one without. With `position`: none whose position others use."""
        good = [s for s, d in self.fds.items() if not (position and d.shared)]
        if self.random.random() < 0.03:
            free = [s for s in range(8) if s not in self.fds]
            return self.random.choice(free) if free else None
        return self.random.choice(good) if good else None

    def free(self, slots: dict) -> int | None:
        left = [s for s in range(8) if s not in slots]
        return left[0] if left else None

    def offset(self, size: int) -> int:
        r = self.random
        near = r.choice([0, size, size, size // 2, r.randrange(size + 1), r.randrange(size + 1), r.randrange(size + 1),
                         r.randrange(size // MIB + 1) * MIB, r.randrange(size // PAGE + 1) * PAGE])
        return max(0, near + r.choice([0, 0, 0, -1, 1, -PAGE, PAGE, -5000]))

    def count(self) -> int:
        r = self.random
        return r.choice([0, 1, 2, 511, PAGE, PAGE, 5000, 65536, r.randrange(1, 300_000), r.randrange(1, 3 * MIB), MIB])

    def size_of(self, slot: int) -> int:
        return self.fds[slot].size if slot in self.fds else MIB

    # ---- descriptors ----

    def op_open(self) -> None:
        slot = self.free(self.fds)
        if slot is None:
            return self.op_close()
        r = self.random
        directories = [s for s, d in self.fds.items() if d.file not in FILES]
        flags = r.choice(["-", "-", "-", "-", "e", "n", "b", "be", "d"])
        if r.random() < 0.12:
            path = r.choice(DIRECTORIES)
            self.emit("open", slot, path, r.choice(["-", "d", "de"]))
            self.fds[slot] = Descriptor("." if path in ("@", "@/") else "sub", closes=True)
            return
        path = self.path()
        if directories and r.random() < 0.5:
            at = r.choice(directories)
            inner = "deep/c.bin" if self.fds[at].file == "sub" else path
            self.emit("openat", slot, at, quoted(inner) if inner != path else path, flags)
        else:
            self.emit("open", slot, path, flags)
        if path not in ODD_PATHS and "d" not in flags and not directories:
            self.fds[slot] = Descriptor(self.named(path), closes="e" in flags)
        else:
            # What it became is not known here: it is used as a small file, and closed as any.
            self.fds[slot] = Descriptor("sub/deep/c.bin", closes="e" in flags)

    @staticmethod
    def named(path: str) -> str:
        return next((name for name in FILES if quoted(name) == path), "tiny")

    def op_reopen(self) -> None:
        slot, source = self.free(self.fds), self.fd()
        if slot is not None and source in self.fds and self.fds[source].file in FILES:
            self.emit("reopen", slot, source, self.random.randrange(2))
            self.fds[slot] = Descriptor(self.fds[source].file)

    def op_close(self) -> None:
        mine = [s for s, d in self.fds.items() if d.mine]
        if mine:
            slot = self.random.choice(mine)
            self.emit("close", slot)
            del self.fds[slot]

    def op_copy_number(self) -> None:
        slot, source, r = self.free(self.fds), self.fd(), self.random
        if slot is None or source not in self.fds:
            return
        # The positions are one from now on, which is all right within a lane.
        new = dataclasses.replace(self.fds[source], mine=True, closes=False)
        kind = r.randrange(5)
        number = r.choice([40, 41, 63, 200, 255, 512 + r.randrange(12), 530, 600, 700, 900, 1000]) + self.number * 5
        if kind == 0:
            self.emit("dup", slot, source)
        elif kind == 1 and not self.beside:
            over = [s for s, d in self.fds.items() if d.mine]
            if over and r.random() < 0.5:
                slot = r.choice(over)
                self.emit("dup2", slot, source)
            elif not self.numbered(number):
                self.emit("dup2", slot, source, number)
        elif kind == 2 and not self.beside and not self.numbered(number):
            new.closes = bool(r.randrange(2))
            self.emit("dup3", slot, source, number, int(new.closes))
        else:
            new.closes = bool(r.randrange(2))
            self.emit("dupfd", slot, source, r.choice([0, 3, 10, 100, number]), int(new.closes))
        if self.writer.operations and self.writer.operations[-1][1].startswith("dup"):
            self.fds[slot] = new

    def numbered(self, number: int) -> bool:
        """Whether a slot was given this number before: closing both would close twice."""
        if number in self.writer.numbers:
            return True
        self.writer.numbers.add(number)
        return False

    def op_flags(self) -> None:
        slot = self.fd()
        if slot is None:
            return
        kind = self.random.choice(["setfd", "getfd", "getfl", "flock", "left", "fsync", "isatty", "poll", "select", "epoll"])
        if kind == "left" and (slot not in self.fds or self.fds[slot].shared):
            return
        if kind == "setfd":
            value = self.random.randrange(2)
            self.emit(kind, slot, value)
            if slot in self.fds:
                self.fds[slot].closes = bool(value)
        else:
            self.emit(kind, slot)

    def op_close_many(self) -> None:
        if self.beside or not self.writer.single or self.streams or self.random.random() < 0.6:
            return
        if self.random.random() < 0.4:
            self.emit("closefrom", 3)
            self.fds.clear()
        else:
            first = self.random.choice([3, 4, 6, 40, 300])
            last = self.random.choice([first, first + 3, 1023, 4294967295])
            flags = self.random.randrange(2)
            self.emit("closerange", first, last, flags)
            # Which slots those were is not known here.
            if not flags:
                self.fds.clear()

    # ---- reads ----

    def op_read(self) -> None:
        slot, r = self.fd(position=True), self.random
        if slot is None:
            return self.op_open()
        kind = r.randrange(4)
        if kind == 0:
            self.emit("readv", slot, *[self.count() for _ in range(r.randrange(1, 5))])
        elif kind == 1:
            self.emit("seek", slot, self.seek_offset(slot), r.choice([0, 0, 0, 1, 2, 3, 4, 9]))
        else:
            self.emit("read", slot, self.count())

    def seek_offset(self, slot: int) -> int:
        size = self.size_of(slot)
        return self.random.choice([self.offset(size), self.offset(size), -self.offset(size), -1, 0, 1, 1 << 40, -(1 << 62)])

    def op_pread(self) -> None:
        slot, r = self.fd(), self.random
        if slot is None:
            return self.op_open()
        at = r.choice([self.offset(self.size_of(slot))] * 12 + [-1, 1 << 45])
        kind = r.randrange(5)
        if kind == 0:
            self.emit("preadv", slot, at, *[self.count() for _ in range(r.randrange(1, 5))])
        elif kind == 1 and at >= 0:
            self.emit("preadv2", slot, at, *[self.count() for _ in range(r.randrange(1, 4))])
        else:
            self.emit("pread", slot, self.count(), at)

    def op_move(self) -> None:
        slot, r = self.fd(), self.random
        if slot is None:
            return
        kind = r.choice(["sendfile", "splice", "copy", *["aio"] * 2 * self.asynchronous])
        size = self.size_of(slot)
        if kind == "aio":
            pairs = [str(w) for _ in range(r.choice([1, 1, 2, 3])) for w in (self.offset(size), self.count())]
            return self.emit("aio", slot, *pairs)
        own = kind != "copy" and slot in self.fds and not self.fds[slot].shared and r.random() < 0.5
        self.emit(kind, slot, "-" if own else self.offset(size), self.count())

    def op_hint(self) -> None:
        slot, r = self.fd(), self.random
        if slot is not None:
            at = self.offset(self.size_of(slot))
            self.emit(*(("advice", slot, at, self.count(), r.choice([0, 1, 2, 3, 4, 5, 77])) if r.randrange(3) else ("readahead", slot, at, self.count())))

    def op_status(self) -> None:
        slot, r = self.fd(), self.random
        kind = r.choice(["fstat", "fstatempty", "stat", "lstat", "fstatat", "statx", "same", "access", "faccessat", "readlink", "statxfd"])
        if kind in ("fstat", "fstatempty"):
            if slot is not None:
                self.emit(kind, slot)
        elif kind == "statxfd":
            if slot is not None:
                self.emit("statx", "%", slot)
        elif kind == "same":
            if slot in self.fds and self.fds[slot].file in FILES:
                self.emit("same", slot, quoted(self.fds[slot].file))
        elif kind in ("access", "faccessat"):
            self.emit(kind, self.path(), r.choice([0, 4, 4, 1]))
        elif kind == "fstatat":
            self.emit(kind, self.path(), r.choice([0, 256]))
        else:
            self.emit(kind, self.path() if r.random() < 0.8 or kind == "readlink" else r.choice(DIRECTORIES[1:]))

    def op_list(self) -> None:
        r = self.random
        if r.random() < 0.3 and self.free(self.fds) is not None:
            slot = self.free(self.fds)
            self.emit("open", slot, r.choice(DIRECTORIES), "d")
            self.emit("listfd", slot, r.randrange(2))
        else:
            self.emit("list", r.choice([*DIRECTORIES, "missing", "a.bin"]), r.randrange(2))

    # ---- mappings ----

    def op_mmap(self) -> None:
        slot, r = self.fd(), self.random
        if slot is None:
            return self.op_open()
        size = self.size_of(slot)
        place, flags = self.free(self.maps), r.choice(["s", "p", "s", "p", "sP", "pP", "pN", "sL"])
        over = [m for m, one in self.maps.items() if one.mine]
        if over and (place is None or r.random() < 0.15) and not self.beside:
            place, flags = r.choice(over), flags.replace("L", "") + "f"
        if place is None:
            return
        offset = self.offset(size) // PAGE * PAGE
        if r.random() < 0.03:
            offset += 1
        length = r.choice([size - offset if size > offset else PAGE, size, PAGE, 2 * PAGE, self.count(), self.count(), 2 * MIB, 0 if r.random() < 0.2 else 3 * PAGE])
        length = max(0, min(length, 12 * MIB))
        protection = r.choice(["r", "r", "r", "r", "rw" if "p" in flags else "r", "rx" if r.random() < 0.2 else "r", "-"])
        if "f" in flags:
            length = min(length, self.maps[place].bytes)
        self.emit("mmap", place, slot, offset, length, flags, protection)
        self.maps[place] = Mapping(self.fds[slot].file if slot in self.fds else "tiny", offset, length, "w" in protection, "s" in flags)

    def op_touch(self) -> None:
        if not self.maps:
            return self.op_mmap()
        r = self.random
        place = r.choice([*self.maps])
        one = self.maps[place]
        if not one.pages:
            return
        end = min(max(FILES.get(one.file, 0) - one.offset, 0), one.pages)
        at = min(r.choice([0, end, one.pages, r.randrange(one.pages), r.randrange(one.pages)]) + r.choice([0, 0, -1, 1, -PAGE]), one.pages)
        at = max(at, 0)
        count = min(self.count(), one.pages - at)
        kind = r.choices(["touch", "out", "poke", "into"], [8, 3, 2 if one.writable else 0.3, 2 if one.writable and self.fds else 0])[0]
        if kind == "poke":
            self.emit(kind, place, at, min(count, 20_000), r.randrange(256))
        elif kind == "into":
            slot = r.choice([*self.fds])
            self.emit(kind, place, at, min(count, 200_000), slot, self.offset(self.size_of(slot)))
        else:
            self.emit(kind, place, at, count)

    def op_change(self) -> None:
        mine = [m for m, one in self.maps.items() if one.mine]
        if not mine:
            return
        r = self.random
        place = r.choice(mine)
        one = self.maps[place]
        at = r.randrange(one.pages // PAGE + 1) * PAGE
        count = min(r.choice([one.pages, PAGE, MIB, self.count()]), max(one.pages - at, 0))
        kind = r.choice(["advise", "advise", "advise", "protect", "lock", "unlock", "sync", "remap", "unmap", "unmap"])
        if kind == "advise":
            self.emit(kind, place, at, count, r.choice(ADVICE))
        elif kind == "protect":
            # A shared mapping of the library's is a private one, which may be made writable.
            bits = r.choice(["r", "r", "-", "rx", "r" if one.shared else "rw"])
            self.emit(kind, place, at, count, bits)
            one.writable |= "w" in bits
        elif kind == "lock" or kind == "unlock":
            self.emit(kind, place, at, count)
        elif kind == "sync":
            self.emit(kind, place)
        elif kind == "remap":
            one.bytes = r.choice([PAGE, one.bytes // 2, one.bytes + PAGE, one.bytes * 2, one.bytes, FILES.get(one.file, PAGE), 0 if r.random() < 0.1 else 3 * MIB])
            self.emit(kind, place, one.bytes)
        else:
            part = r.choice(["all", "head", "tail"])
            cut = r.randrange(one.pages // PAGE + 1) * PAGE or PAGE
            self.emit(kind, place, part, cut)
            if part == "all" or cut >= one.pages:
                del self.maps[place]
            elif part == "head":
                one.bytes, one.offset = one.bytes - cut, one.offset + cut
            else:
                one.bytes = one.pages - cut

    # ---- streams ----

    def op_stream(self) -> None:
        r = self.random
        place = self.free(self.streams)
        if place is None or (self.streams and r.random() < 0.8):
            return self.use_stream(r.choice([*self.streams]))
        usable = [s for s, d in self.fds.items() if d.mine and not d.shared and not d.inherited and d.file in FILES]
        if usable and r.random() < 0.3:
            slot = r.choice(usable)
            # Copies of it would have its position, which is where the stream has read to.
            if sum(d.file == self.fds[slot].file for d in self.fds.values()) > 1:
                return
            self.emit("fdopen", place, slot, "r")
            self.streams[place] = self.fds.pop(slot).file
        else:
            path = self.path()
            self.emit("fopen", place, path, r.choice(["r", "rb", "re", "rbe"]))
            self.streams[place] = self.named(path)
        self.pushed.discard(place)
        if r.random() < 0.3:
            self.emit("setvbuf", place, r.randrange(3), r.choice([0, 1, 100, 4096, 8192]))

    def use_stream(self, place: int) -> None:
        r, size = self.random, FILES.get(self.streams[place], 0)
        kind = r.choice(["fread"] * 6 + ["fgets", "getline", "getc", "ungetc", "fseek", "fseek", "fseek", "ftell", "ftell", "rewind", "fstate", "clearerr",
                                         "fflush", "fileno", "under", "fclose", "freopen"])
        if kind == "fread":
            self.emit(kind, place, *r.choice([(1, self.count()), (4096, r.randrange(40)), (7, r.randrange(9000)), (self.count(), 1), (0, 5)]))
        elif kind == "fgets":
            self.emit(kind, place, r.choice([1, 2, 80, 5000, 70_000]))
        elif kind == "getline":
            self.emit(kind, place, r.choice([10, 10, 0, 65]))
        elif kind == "getc":
            self.emit(kind, place, r.randrange(1, 12))
        elif kind == "ungetc":
            # At the start of a file the position would be unspecified.
            self.emit("getc", place, 1)
            self.emit(kind, place, r.choice([65, 10, 255, -1]))
            self.pushed.add(place)
        elif kind == "fseek":
            self.emit(kind, place, r.choice([self.offset(size), self.offset(size), -self.offset(size), -1, 1, 100]), r.choice([0, 0, 1, 2]))
        elif kind == "freopen":
            if r.random() < 0.4:
                path = self.path()
                self.emit(kind, place, path)
                self.streams[place] = self.named(path)
        elif kind == "under":
            self.emit(kind, place, self.count(), self.offset(size))
        elif kind != "fflush" or place not in self.pushed:
            self.emit(kind, place)
            if kind == "fclose":
                del self.streams[place]

    # ---- other lanes ----

    def op_lanes(self, depth: int) -> None:
        r, number = self.random, self.writer.new_lane()
        if number is None:
            return
        choices = ["fork", "fork", "forked beside", "exec", "vfork"] + (["threads"] * 4 if not self.writer.single else [])
        kind = r.choice(choices)
        if kind == "threads":
            return self.threads(number, depth)
        child = Lane(self.writer, number)
        beside = kind == "forked beside"
        child.asynchronous = kind in ("exec", "vfork")
        if not child.asynchronous:
            child.maps = {m: dataclasses.replace(one, mine=True) for m, one in self.maps.items()}
            child.fds = {s: dataclasses.replace(d, mine=True, inherited=True, shared=d.shared or beside) for s, d in self.fds.items()}
        else:
            child.fds = {s: dataclasses.replace(d, mine=True, inherited=True) for s, d in self.fds.items() if not d.closes}
        if not beside:
            self.emit(*(("fork", number) if kind == "fork" else (kind, number)))
            child.write(r.randrange(1, 8), depth + 1)
            if kind == "fork":
                self.emit("wait", number)
            return
        self.emit("fork", number)
        child.write(r.randrange(1, 8), depth + 1)
        self.with_shared(lambda: self.write(r.randrange(1, 5), depth + 1))
        self.emit("wait", number)

    def with_shared(self, body: typing.Callable[[], None]) -> None:
        before = {s: (d, d.shared, d.mine) for s, d in self.fds.items()}
        for d in self.fds.values():
            d.shared = True
        self.beside += 1
        body()
        self.beside -= 1
        for s, (d, shared, mine) in before.items():
            if self.fds.get(s) is d:
                d.shared = shared

    def threads(self, first: int, depth: int) -> None:
        numbers = [first, *filter(None, [self.writer.new_lane() for _ in range(self.random.randrange(3))])]
        kept = {s: d.mine for s, d in self.fds.items()}, {m: one.mine for m, one in self.maps.items()}
        for d in self.fds.values():
            d.mine = False
        for one in self.maps.values():
            one.mine = False

        def all_at_once() -> None:
            for number in numbers:
                child = Lane(self.writer, number)
                child.beside, child.asynchronous = 1, self.asynchronous
                child.fds = {s: dataclasses.replace(d, mine=False, shared=True) for s, d in self.fds.items() if s in kept[0]}
                child.maps = {m: dataclasses.replace(one, mine=False, writable=False) for m, one in self.maps.items() if m in kept[1] and not one.writable}
                self.emit("thread", number)
                child.write(self.random.randrange(2, 10), depth + 1)
            self.write(self.random.randrange(1, 5), depth + 1)
            for number in numbers:
                self.emit("join", number)
        self.with_shared(all_at_once)
        for s, mine in kept[0].items():
            if s in self.fds:
                self.fds[s].mine = mine
        for m, mine in kept[1].items():
            if m in self.maps:
                self.maps[m].mine = mine

    def write(self, count: int, depth: int = 0) -> None:
        kinds = [self.op_open, self.op_reopen, self.op_close, self.op_copy_number, self.op_flags, self.op_close_many, self.op_read, self.op_pread, self.op_move,
                 self.op_hint, self.op_status, self.op_list, self.op_mmap, self.op_touch, self.op_change, self.op_stream]
        weights = self.writer.weights
        for _ in range(count):
            if depth < 2 and self.random.random() < 0.06:
                self.op_lanes(depth)
            else:
                self.random.choices(kinds, weights)[0]()


class Writer:
    """Writes one script from a seed."""

    def __init__(self, seed: int, length: int = 24):
        self.random = random.Random(f"sequence {seed}")
        self.operations: list[tuple[int, str]] = []
        self.lanes, self.numbers = 1, set()
        self.length = length
        self.single = self.random.random() < 0.5
        # Each script has a taste of its own: some map, some read streams.
        taste = self.random.choice([(1, 1, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4)])
        self.weights = [3, 0.7, 1.5, 1.5 * taste[0], 1, 0.4, 4 * taste[0], 4 * taste[0], 2 * taste[0], 0.7, 1.5, 0.7,
                        2 * taste[1], 4 * taste[1], 2 * taste[1], 4 * taste[2]]

    def new_lane(self) -> int | None:
        if self.lanes == 8:
            return None
        self.lanes += 1
        return self.lanes - 1

    def script(self) -> Script:
        r = self.random
        options = (["numbers"] if self.single else []) + [o for o, p in (("relative", 0.2), ("signals", 0.25), ("fortified", 0.5)) if r.random() < p]
        first = Lane(self, 0)
        first.write(r.randrange(3, self.length))
        if self.single and r.random() < 0.05 and (number := self.new_lane()):
            last = Lane(self, number)
            last.fds = {s: d for s, d in first.fds.items() if not d.closes}
            first.emit("become", number)
            last.write(r.randrange(2, 8), 2)
        return Script(options, self.operations)


def shorter(script: Script, fails: typing.Callable[[Script], bool], tries: int = 400) -> Script:
    """The shortest script found that still fails: delta debugging (Zeller, Hildebrandt 2002) over operations, then over options."""
    parts, left = 2, tries
    while len(script.operations) > 1 and left > 0:
        size = -(-len(script.operations) // parts)
        for start in range(0, len(script.operations), size):
            kept = script.operations[:start] + script.operations[start + size:]
            left -= 1
            if kept and fails(candidate := dataclasses.replace(script, operations=kept)):
                script, parts = candidate, max(parts - 1, 2)
                break
            if left <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(script.operations))
    for option in list(script.options):
        candidate = dataclasses.replace(script, options=[o for o in script.options if o != option])
        if fails(candidate):
            script = candidate
    return script
