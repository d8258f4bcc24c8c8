"""Where sequences run: caches that fill, fail, restart and go, and the plain files whose bytes are right.

Each sequence runs twice: over plain files, which tells the right results, and under the library. A result under the
library is the same, or, in a world that has such failures, an error that docs/semantics.md allows.
"""
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import typing

from . import paths, sequences
from .agent import Agent, Place
from .sequences import FILES, MIB, Script
from .store import Store

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "readers"
# A hang is a failure: no wait of these worlds is near so long, also on a busy machine.
PATIENCE = 150


@dataclasses.dataclass(frozen=True)
class Setting:
    """One kind of world. `clauses`: the clauses of docs/semantics.md that allow errors there."""
    medium: str = "memory"
    faults: str = "userfaultfd"
    arguments: tuple[str, ...] = ()
    store: typing.Callable[[random.Random], list[dict]] = lambda chance: []
    event: str = ""                       # restart | evict | end: what happens beside every few sequences
    own_directory: bool = False           # MODEL_DIR has files of its own
    settings: tuple[tuple[str, str], ...] = ()
    clauses: str = ""
    on_disk: bool = False
    bandwidth: float = 15e6


def flaky(chance: random.Random) -> list[dict]:
    """Failures that the agent repairs: no reader sees them."""
    actions = [{"status": 503}, {"status": 500}, {"resetAfter": 100_000}, {"truncateAfter": 50_000}, {"delayMs": 150}, {"wrongContentRange": True}, {"wrongLength": 7}]
    return [{"match": {"ranged": True, "probability": 0.05}, "action": action} for action in chance.sample(actions, 4)]


def flipped(chance: random.Random) -> list[dict]:
    """A byte is wrong once; the check of the complete file finds it."""
    return [{"match": {"key": f"*/{name}"}, "action": {"flipByte": chance.randrange(FILES[name])}, "count": 1} for name in ("a.bin", "模型.bin")]


def broken(chance: random.Random) -> list[dict]:
    """The store refuses a part of one file for good."""
    return [{"match": {"key": "*/a.bin", "range": f"{chance.randrange(1, 9) * MIB}-"}, "action": {"status": 403}}]


WORLDS = {
    "memory": Setting(),
    "blocking": Setting(faults="block"),
    "disk": Setting(medium="disk", on_disk=True),
    "folder": Setting(medium="directory", own_directory=True),
    "flaky": Setting(store=flaky),
    "restarts": Setting(event="restart", bandwidth=8e6),
    "strict": Setting(arguments=("--verify", "strict"), store=flipped, bandwidth=20e6),
    "evicted": Setting(event="evict", clauses="8, 16, 17", bandwidth=12e6),
    "refused": Setting(store=broken, clauses="4, 8"),
    "deserted": Setting(event="end", clauses="8", settings=(("MODELCACHE_AGENT_DEADLINE_SECONDS", "1"), ("MODELCACHE_AGENT", "/nonexistent/modelcache")), bandwidth=8e6),
}
# What an error of a clause looks like: reads give EIO, mapped touches SIGBUS, the kernel's own touches EFAULT or ENOMEM.
ALLOWED = (" -1 EIO", " error EIO", " error before", f" signal {signal.SIGBUS.value}", " -1 EFAULT", " -1 ENOMEM", " -1 EHWPOISON", " exit 69", " exit 74", " exit 78")
# A model that is evicted by force loses its names too.
EVICTED = (" -1 ENOENT", " other", " names ")
# A program that cannot go on ends with a message: no agent, wrong bytes, no agent to start.
ENDS = (69, 74, 78, 128 + signal.SIGBUS.value, -signal.SIGBUS.value)
# A program that was to begin in the folder of a model that is evicted by force.
GONE = 66
# What gives bytes of a place that it names: compared also where an error went before. The rest hangs on positions, numbers and
# descriptors that would be others without the error.
PLACED = {"pread", "preadv", "preadv2", "aio", "copy", "under", "touch", "out"}
MAPPED = {"touch", "out", "mmap", "into", "poke"}


def compiled(folder: pathlib.Path) -> dict[bool, pathlib.Path]:
    """The program that runs scripts, as plain C and with 64-bit names and checked calls."""
    programs = {False: folder / "sequence", True: folder / "sequence-fortified"}
    for fortified, output in programs.items():
        flags = ["-O2", "-D_FILE_OFFSET_BITS=64", "-D_FORTIFY_SOURCE=2"] if fortified else ["-O1"]
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", *flags, "-pthread", "-o", output, *sorted(FOLDER.glob("*.c"))], check=True)
    return programs


@dataclasses.dataclass
class Outcome:
    """What a run printed: by lane and operation; `status` is the program's own end."""
    results: dict[tuple[int, int], str]
    status: int | str
    messages: str = ""

    @staticmethod
    def of(output: bytes, status: int | str, messages: bytes = b"") -> "Outcome":
        results = {}
        for line in output.decode(errors="replace").splitlines():
            place, _, result = line.partition(" ")
            lane, _, number = place.partition(".")
            results[int(lane), int(number)] = " " + result if result else ""
        return Outcome(results, status, messages.decode(errors="replace"))


def run(program: list[object], environment: dict[str, str], folder: pathlib.Path) -> Outcome:
    """To its end; a sequence that hangs is ended with all its processes."""
    process = subprocess.Popen([*map(str, program)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True, cwd=folder)
    try:
        output, messages = process.communicate(timeout=PATIENCE)
        return Outcome.of(output, process.returncode, messages)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, messages = process.communicate()
        return Outcome.of(output, "hangs", messages)


def differences(script: Script, right: Outcome, got: Outcome, setting: Setting) -> list[str]:
    """What is neither the plain files' result nor an error that a clause allows."""
    ends = bool(setting.clauses) and (got.status in ENDS or setting.event == "evict" and got.status == GONE)
    errors = ALLOWED + (EVICTED if setting.event == "evict" else ())
    lines = script.text().splitlines()
    differ = {place: (lines[place[1] - 1].split(), right.results.get(place), got.results.get(place))
              for place in sorted(right.results.keys() | got.results.keys(), key=lambda p: p[1])
              if right.results.get(place) != got.results.get(place)}
    failed = bool(setting.clauses) and (ends or any(result and any(one in result for one in errors) for _, _, result in differ.values()))

    def slot(words: list[str]) -> tuple[bool, str]:
        return words[0] in MAPPED, words[1] if len(words) > 1 else ""

    # Without the error another file, or other bytes, would be in place of what is there.
    changed = {slot(words) for words, _, _ in differ.values() if words[0] in ("dup2", "mmap", "into", "poke")}

    def is_allowed(words: list[str], result: str | None) -> bool:
        return words[0] not in PLACED or slot(words) in changed or not result or any(one in result for one in (*errors, "EBADF", "outside"))

    found = [f"lane {lane}, line {line}: {' '.join(words)}\n      plain files:{expected}\n      the library:{result}"
             for (lane, line), (words, expected, result) in differ.items() if not (failed and is_allowed(words, result))]
    if right.status != got.status and not ends:
        found.append(f"ends with {got.status}, over plain files with {right.status}")
    return found


class World:
    """An agent, a store and the plain files; `round` begins a cache that has nothing yet."""

    def __init__(self, setting: Setting, work: pathlib.Path, chance: random.Random):
        self.setting, self.work, self.chance = setting, work, chance
        self.programs = compiled(work)
        self.plain, self.bucket = work / "plain", work / "bucket"
        self.scripts = work / "scripts"
        for folder in (self.plain, self.bucket, self.scripts):
            folder.mkdir()
        self._write_files()
        self.place = Place(work / "p")
        self._disk = pathlib.Path(tempfile.mkdtemp(prefix="mcr-")) if setting.on_disk else None
        if self._disk:
            self.place.root = self._disk
        self.store = Store({"models": self.bucket}, self.place.log("store"))
        self.agent: Agent | None = None
        self.rounds = 0
        self._lock = threading.Lock()

    def _write_files(self) -> None:
        for name, size in FILES.items():
            content = random.Random(f"{name}").randbytes(size)
            if name == "lines.txt":
                content = b"".join(b"%06d %s\n" % (i, b"x" * (i * 7 % 90)) for i in range(9000))[:size].ljust(size, b".")
            path = self.plain / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if self.setting.own_directory:
            self.own = self.work / "own"
            (self.own / "sub").mkdir(parents=True)
            for name in ("tiny", "sub/own.txt"):
                (self.own / name).write_text(f"own {name}")
                (self.plain / name).write_text(f"own {name}")

    def close(self) -> None:
        if self.agent:
            self.agent.stop()
        self.place.close()
        self.store.stop()
        if self._disk:
            shutil.rmtree(self._disk, ignore_errors=True)

    def start_agent(self) -> None:
        self.agent = Agent(self.place, "--medium", self.setting.medium, *self.setting.arguments).ready()

    def round(self) -> None:
        """A model that no cache has yet, of the same bytes; the one before is given up."""
        if not self.place.agents():
            self.start_agent()
        if self.rounds:
            shutil.rmtree(self.bucket / f"m{self.rounds}")
            self.place.modelcache("evict", "--all", "--force")
        self.rounds += 1
        for name in FILES:
            target = self.bucket / f"m{self.rounds}" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.setting.own_directory and name == "tiny":
                target.write_bytes(b"?")  # MODEL_DIR's own is seen
            else:
                os.link(self.plain / name, target)
        self.directory = self.own if self.setting.own_directory else self.work / f"model{self.rounds}"
        self.store.faults(*self.setting.store(self.chance), bandwidth=self.setting.bandwidth, seed=self.chance.randrange(1 << 30))
        self.environment = self.place.preloaded(
            self.store.environment(f"m{self.rounds}/"), self.directory, MODELCACHE_FAULTS=self.setting.faults, **dict(self.setting.settings))

    def event(self) -> None:
        """What happens beside the sequences."""
        with self._lock:
            if self.setting.event == "restart":
                # The library starts the next one.
                for pid in self.place.agents():
                    os.kill(pid, signal.SIGKILL)
            elif self.setting.event == "evict":
                self.place.modelcache("evict", "--all", "--force")
            elif self.setting.event == "end":
                self.agent.kill()

    def both(self, name: str, script: Script) -> tuple[Outcome, Outcome]:
        path = self.scripts / name
        text = script.text()
        # Numbers are not compared where the library connects anew: its socket has a low one for a moment.
        path.write_text(text.replace(" numbers", "", 1) if self.setting.event else text)
        program = self.programs["fortified" in script.options]
        clean = {k: v for k, v in self.environment.items() if k != "LD_PRELOAD"}
        right = run([program, path, self.plain], clean, self.work)
        got = run([program, path, self.directory], self.environment, self.work)
        path.unlink()
        return right, got

    def failures(self, name: str, script: Script) -> list[str]:
        right, got = self.both(name, script)
        assert right.status != "hangs" and (right.status, right.messages) == (0, ""), f"over plain files: {right}\n{script.text()}"
        found = differences(script, right, got, self.setting)
        return [*found, f"messages: {got.messages.strip()}"] if found else []


@dataclasses.dataclass
class Failure:
    seed: int
    script: Script
    found: list[str]

    def __str__(self) -> str:
        return f"seed {self.seed}:\n" + "\n".join(f"   {line}" for line in self.found) + f"\n\n{self.script.text()}"


@contextlib.contextmanager
def world(name: str, seed: int) -> typing.Iterator[World]:
    """A world of that name in a folder in memory, gone at the end."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="mcr-", dir="/dev/shm"))
    try:
        one = World(WORLDS[name], work, random.Random(f"world {seed}"))
        try:
            yield one
        finally:
            one.close()
    finally:
        if os.environ.get("MODELCACHE_TESTS_KEEP"):
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def write(name: str, seed: int) -> Script:
    script = sequences.Writer(seed).script()
    script.head = f"world {name} seed {seed}"
    return script


def check(one: World, name: str, seeds: typing.Sequence[int], at_once: int = 6, each_round: int = 50, most: int = 3,
          tell: typing.Callable[[str], None] = lambda text: None) -> list[Failure]:
    """Runs a sequence for each seed, `each_round` over one cache from its first byte on; stops after `most` failures."""
    failures: list[Failure] = []
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for first in range(0, len(seeds), each_round):
            one.round()
            part = seeds[first:first + each_round]
            done = {pool.submit(one.failures, f"{seed}", write(name, seed)): seed for seed in part}
            for count, future in enumerate(concurrent.futures.as_completed(done), 1):
                if found := future.result():
                    failures.append(Failure(done[future], write(name, done[future]), found))
                    tell(str(failures[-1]))
                if one.setting.event and count in (3, 9, 16, 24):
                    one.event()
            if len(failures) >= most:
                break
    return failures


def made_short(one: World, failure: Failure, repeats: int = 3) -> Failure:
    """The failure with as few operations as still fail, each try over a cache that has nothing yet."""
    def fails(script: Script) -> bool:
        for attempt in range(repeats):
            if attempt < 2:
                one.round()  # the third attempt reads what the second one left
            if one.failures("short", script):
                return True
        return False
    if not fails(failure.script):
        return failure
    short = sequences.shorter(failure.script, fails, 120)
    for _ in range(repeats):
        one.round()
        if found := one.failures("short", short):
            return Failure(failure.seed, short, found)
    return failure
