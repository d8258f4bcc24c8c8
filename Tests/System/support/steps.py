"""One run of an agent, or of a command, that is killed or gets an error at one of its steps (steps/steps.c), and what must hold after it.

A step is a system call that changes, opens or looks at what lies below the agent's root. step_scenarios.py has what is done meanwhile.
"""
import collections
import contextlib
import dataclasses
import hashlib
import http.client
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import typing

from content import MIB, digest
from . import paths
from .agent import Agent, Place
from .orders import NODE, SECRET, Orders, definition
from .processes import Running, wait_until
from .store import Store

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "steps/steps.c"
# Far longer than anything here takes; what takes so long hangs.
PATIENCE = 120.0
# The files of a model by version: the same, replaced with the same size, replaced with another, gone, new, and empty ones.
VERSIONS = {
    1: {"a/weights.gguf": ("w", 4 * MIB + 12345), "config.json": ("c1", 700), "head.gguf": ("h1", 2 * MIB + 77), "old/gone.bin": ("o", 3000), "empty": ("", 0)},
    2: {"a/weights.gguf": ("w", 4 * MIB + 12345), "config.json": ("c2", 700), "head.gguf": ("h2", 2 * MIB + 99), "a/b/new.bin": ("n", 5000), "empty": ("", 0)},
}
PREFIXES = ("one/", "two/")


# Faults by name: `kill`, `fail` or `fail-on` (steps.c), the error for the latter two, and the kind of steps that can have it.
FAULTS = {
    "kill": ("kill", "", "c"),
    "ENOSPC": ("fail", "ENOSPC", "s"), "EIO": ("fail", "EIO", "m"), "EMFILE": ("fail", "EMFILE", "n"), "EINTR": ("fail", "EINTR", "i"),
    "full": ("fail-on", "ENOSPC", "s"), "broken": ("fail-on", "EIO", "m"), "numbers": ("fail-on", "EMFILE", "n"),
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One of FAULTS at a step, as steps.c takes it."""
    what: str
    error: str
    step: str

    @property
    def arguments(self) -> list[str]:
        return [self.what, *([self.error] if self.error else []), self.step]

    def __str__(self) -> str:
        return " ".join(self.arguments)

    @staticmethod
    def named(name: str, step: int | str) -> "Fault":
        what, error, _ = FAULTS[name]
        return Fault(what, error, f"{step}")

    @staticmethod
    def count(name: str, steps: list[str]) -> int:
        """How many of the steps that a run without a fault had can have it."""
        kind = FAULTS[name][2]
        return sum(kind in line.split()[1] for line in steps)


class World:
    """A store with two models, and a place that is new for each run."""

    def __init__(self, work: pathlib.Path):
        self.work = work
        self.program = work / "steps"
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", self.program, SOURCE], check=True)
        self.bucket, self.contents = work / "bucket", work / "contents"
        self.bucket.mkdir()
        self.contents.mkdir()
        self.digests: dict[str, str] = {}
        for prefix in PREFIXES:
            for version in VERSIONS.values():
                for seed, size in version.values():
                    content = hashlib.shake_256(f"{prefix}{seed}".encode()).digest(size)
                    (self.contents / self._name(prefix, seed)).write_bytes(content)
                    self.digests[self._name(prefix, seed)] = hashlib.sha256(content).hexdigest()
        self.store = Store({"models": self.bucket}, work / "store.log")
        self.runs = 0

    @staticmethod
    def _name(prefix: str, seed: str) -> str:
        return f"{prefix.strip('/')}-{seed}"

    def close(self) -> None:
        self.store.stop()

    def show(self, prefix: str, version: int) -> None:
        """The store has these objects from now on."""
        shutil.rmtree(self.bucket / prefix, ignore_errors=True)
        for name, (seed, _) in VERSIONS[version].items():
            path = self.bucket / prefix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.contents / self._name(prefix, seed), path)

    def files(self, prefix: str, version: int) -> dict[str, str]:
        """SHA-256 by name."""
        return {name: self.digests[self._name(prefix, seed)] for name, (seed, _) in VERSIONS[version].items()}

    def right(self, prefix: str, name: str) -> set[str]:
        """The SHA-256 of every version of the file."""
        return {self.digests[self._name(prefix, version[name][0])] for version in VERSIONS.values() if name in version}


@contextlib.contextmanager
def world() -> typing.Iterator[World]:
    work = pathlib.Path(tempfile.mkdtemp(prefix="mcs-", dir="/dev/shm"))
    try:
        one = World(work)
        try:
            yield one
        finally:
            one.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Run:
    """One run of a scenario."""

    def __init__(self, world: World, medium: str, takes_orders: bool, fault: Fault | None):
        world.runs += 1
        self.world, self.medium, self.takes_orders, self.fault = world, medium, takes_orders, fault
        self.place = Place(world.work / f"r{world.runs}")
        (self.place.folder / "secret").write_text(SECRET + "\n")
        self.steps_log = self.place.folder / "steps.log"
        self.versions = {prefix: 1 for prefix in PREFIXES}
        for prefix in PREFIXES:
            world.show(prefix, 1)
        self.uids = [f"00000000-0000-4000-8000-{i:012}" for i in range(3)]
        self.agent: Agent | None = None
        # The agent, or a command, has the fault: not one that goes before, nor the next one.
        self.is_watched = True
        self.readers: list[tuple[str, Running]] = []
        self.folders = 0
        self.wrong: list[str] = []
        self.used: list[str] = []

    # What scenarios do. None of it raises when the agent goes away.

    def start(self, watched: bool = False) -> bool:
        """Whether an agent serves; one that ends instead must say why."""
        self.is_watched = watched
        settings = {
            "MODELCACHE_AUTH_SECRET_FILE": self.place.folder / "secret", "MODELCACHE_NODE_NAME": NODE, "MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS": 1,
            "MODELCACHE_CREDENTIAL_HOSTS": "*"} if self.takes_orders else {}
        arguments = ["--medium", self.medium, *(["--disk-root", f"{self.place.root}/disk"] if self.takes_orders else [])]
        self.agent = Agent(self.place, *arguments, prefix=self.prefix if watched else (), **settings)
        self.orders = Orders(self.agent.http, SECRET)
        try:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and self.agent.process.alive():
                with contextlib.suppress(AssertionError):
                    self.agent.ready(0.01)
                    if self.takes_orders:
                        self.orders.patience = 3 if self.waits else 60
                        wait_until(lambda: self.orders.answers() or self.takes_nobody or not self.agent.process.alive(), PATIENCE, "the agent answers", every=0.005)
                    return self.agent.process.alive()
        except AssertionError as error:
            self.wrong.append(f"the agent does not begin: {error}")
        if self.agent.process.alive():
            self.wrong.append("the agent never listens")
        elif watched and self.fault and self.fault.what != "kill":
            if not re.search(r"^modelcache: .{20,}", self.agent.process.output(), re.M):
                self.wrong.append(f"the agent has ended and does not say why: {self.agent.process.output()[-1500:]}")
        elif not watched:
            self.wrong.append(f"the agent has ended with {self.agent.process.process.returncode}: {self.agent.process.output()[-1500:]}")
        return False

    @property
    def prefix(self) -> list[object]:
        self.steps_log.unlink(missing_ok=True)
        return [self.world.program, self.place.root, self.steps_log, *(self.fault.arguments if self.fault else []), "--"]

    @property
    def over(self) -> pathlib.Path:
        """Ends `fail-on` (steps.c)."""
        return pathlib.Path(f"{self.steps_log}.over")

    @property
    def is_over(self) -> bool:
        return self.over.exists()

    def end_fault(self) -> None:
        self.over.touch()
        if self.takes_orders:
            # It may have taken nobody until now.
            self.orders.patience = 60
            wait_until(lambda: self.orders.answers() or not self.alive, PATIENCE, "the agent answers", every=0.005)

    @property
    def waits(self) -> bool:
        """An agent without descriptors takes no client: those that come wait until it has some."""
        return self.is_watched and self.fault is not None and (self.fault.what, self.fault.error) == ("fail-on", "EMFILE") and not self.is_over

    @property
    def takes_nobody(self) -> bool:
        """It listens, but is out of descriptors already."""
        return self.waits and self.hit is not None

    @property
    def alive(self) -> bool:
        return self.agent is not None and self.agent.process.alive()

    def warm(self, prefix: str, *arguments: str) -> subprocess.CompletedProcess | None:
        """`modelcache warm`; None: nobody serves."""
        if not self.alive:
            return None
        if prefix not in self.used:
            self.used.append(prefix)
        return self.command(["warm", *arguments], self.environment(prefix))

    def environment(self, prefix: str, **extra: object) -> dict[str, str]:
        return self.world.store.environment(prefix) | {k: str(v) for k, v in self.place.settings(**extra).items()}

    def command(self, arguments: list[str], environment: dict[str, str] | None = None, watched: bool = False) -> subprocess.CompletedProcess | None:
        environment = environment or self.environment("")
        waits = self.waits
        try:
            result = self.place.run(*(self.prefix if watched else ()), paths.MODELCACHE, *arguments, environment=environment, seconds=3 if waits else PATIENCE)
        except subprocess.TimeoutExpired:
            if not waits:
                self.wrong.append(f"modelcache {' '.join(arguments)} hangs")
            return None
        may_be_killed = watched and self.fault is not None and self.fault.what == "kill"
        if result.returncode > 0 and not result.stderr.strip():
            self.wrong.append(f"modelcache {' '.join(arguments)} ends with {result.returncode} and no word")
        if result.returncode < 0 and not may_be_killed:
            self.wrong.append(f"modelcache {' '.join(arguments)} is ended by signal {-result.returncode}: {result.stderr.decode()[-500:]}")
        return result

    def read(self, prefix: str) -> None:
        """A program that reads the model by the library, beside all that follows; it waits for the next agent too."""
        if not self.alive:
            return
        names = sorted(self.world.files(prefix, self.versions[prefix]))
        self.folders += 1
        folder = self.place.folder / f"m{self.folders}"
        environment = self.place.preloaded(
            self.world.store.environment(prefix), folder, MODELCACHE_AGENT="/nonexistent/modelcache", MODELCACHE_AGENT_DEADLINE_SECONDS=90)
        self.readers.append((prefix, Running(["sha256sum", *(folder / n for n in names)], self.place.log("reader"), environment=environment)))

    def order(self, method: str, *arguments: object, **changes: object) -> int | None:
        """PUT or DELETE of a ModelCache; None: nobody answers."""
        if not self.alive:
            return None
        try:
            self.orders.patience = 3 if self.waits else 60
            return getattr(self.orders, method)(*arguments, **changes).status
        except (OSError, http.client.HTTPException):
            return None

    def define(self, number: int, prefix: str, **changes: object) -> int | None:
        return self.order("put", self.uids[number], definition(self.world.store, prefix, 16 * MIB, **changes))

    def volume(self, number: int, medium: str = "Memory") -> pathlib.Path:
        return self.place.root / ("disk/caches" if medium == "Disk" else "caches") / self.uids[number]

    def replace(self, prefix: str) -> None:
        self.versions[prefix] = 2
        self.world.show(prefix, 2)

    # What must hold.

    def steps(self) -> list[str]:
        return self.steps_log.read_text().splitlines() if self.steps_log.exists() else []

    @property
    def hit(self) -> str | None:
        """The first step that had the fault."""
        return next((step for step in self.steps() if step.endswith("<-")), None)

    def check_names(self, when: str) -> None:
        """What has its plain name is a whole file of some version."""
        for models in (self.place.root / "models", self.place.root / "caches", self.place.root / "disk/caches"):
            for directory in models.iterdir() if models.exists() else ():
                if not directory.is_dir() or directory.name.startswith("."):
                    continue
                known = {name for version in VERSIONS.values() for name in version}
                for name in sorted(known):
                    path = directory / name
                    try:
                        got = digest(path)
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                    if not any(got in self.world.right(prefix, name) for prefix in PREFIXES):
                        self.wrong.append(f"{when}: {path.relative_to(self.place.root)} has {path.stat().st_size} bytes that no version has")

    def check_log(self, said: str) -> None:
        """The agent does not say the same over and over."""
        lines = collections.Counter(line.partition(" ")[2] for line in said.splitlines())
        self.wrong += [f"the agent said {count} times: {line}" for line, count in lines.items() if count > 20]

    def check_pace(self) -> None:
        """It does not try over and over what fails: two listeners look ten times a second, a scenario takes some minutes."""
        tries = sum(step.endswith("<-") for step in self.steps())
        if tries > 20_000:
            self.wrong.append(f"the agent tried {tries} times what failed, at last: {self.steps()[-1]}")

    def check_readers(self) -> None:
        for prefix, reader in self.readers:
            try:
                code = reader.wait(PATIENCE)
            except AssertionError as error:
                self.wrong.append(f"a reader hangs: {error}")
                reader.kill()
                continue
            output = reader.output()
            for got, name in re.findall(r"^\\?([0-9a-f]{64})  \S*/m\d+/(\S+)$", output, re.M):
                if got not in self.world.right(prefix, name):
                    self.wrong.append(f"a reader got wrong bytes of {name}: {output[-600:]}")
            # It came after the agent was gone, and may not start one.
            if code == 78 and "there is none to start" in output:
                continue
            # A kill costs a reader nothing; after an error it may hear of it.
            if code != 0 and (self.fault is None or self.fault.what == "kill"):
                self.wrong.append(f"a reader failed with {code}: {output[-600:]}")
            if code != 0 and "libossc_preload" not in output:
                self.wrong.append(f"a reader failed with {code} and no word: {output[-600:]}")
        self.readers = []

    def check_whole(self, when: str) -> None:
        """Every model that was asked for can be had, by its plain names and by the library."""
        for prefix in self.used:
            expected = self.world.files(prefix, self.versions[prefix])
            deadline = time.monotonic() + 60
            while True:
                result = self.warm(prefix)
                if result is None or result.returncode != 0:
                    self.wrong.append(f"{when}: {prefix} cannot be warmed: {result and result.stderr.decode()[-600:]}")
                    break
                folder = pathlib.Path(result.stdout.decode().splitlines()[-1])
                got = {str(p.relative_to(folder)): digest(p) for p in folder.rglob("*")
                       if p.is_file() and p.relative_to(folder).parts[0][0] != "."}
                if got == expected:
                    self.read(prefix)
                    break
                # The listing of a moment ago holds for two seconds.
                if time.monotonic() > deadline:
                    self.wrong.append(f"{when}: {prefix} has {sorted(got)} for {sorted(expected)}, different: {[n for n in expected if got.get(n) != expected[n]]}")
                    break
                time.sleep(0.3)
        self.check_readers()

    def check_caches(self, when: str) -> None:
        for number, prefix, medium in ((0, "one/", "Memory"), (1, "two/", "Disk")):
            status = self.define(number, prefix, medium=medium)
            if status != 200:
                self.wrong.append(f"{when}: the cache {number} cannot be prepared: {status}")
                continue
            volume = self.volume(number, medium)
            result = self.warm_cache(number, prefix, medium)
            if result is None or result.returncode != 0:
                self.wrong.append(f"{when}: the cache {number} cannot be warmed: {result and result.stderr.decode()[-600:]}")
                continue
            for name, expected in self.world.files(prefix, self.versions[prefix]).items():
                if not (volume / name).exists() or digest(volume / name) != expected:
                    self.wrong.append(f"{when}: the cache {number} has no right {name}")

    def warm_cache(self, number: int, prefix: str, medium: str = "Memory") -> subprocess.CompletedProcess | None:
        if not self.alive:
            return None
        return self.command(["warm"], self.world.store.environment(
            prefix, MODELCACHE_SOCKET=self.volume(number, medium) / ".modelcache/agent.sock", MODELCACHE_AGENT_DEADLINE_SECONDS=0))

    def give_up(self, when: str) -> None:
        """Everything is evicted and deleted, and the agent ends."""
        if not self.alive:
            self.wrong.append(f"{when}: the agent has ended with {self.agent.process.process.returncode}: {self.agent.process.output()[-3000:]}")
        self.command(["evict", "--all", "--force"])
        if self.takes_orders:
            for uid in self.uids:
                status = self.order("delete", uid, force=True)
                if status != 204:
                    self.wrong.append(f"{when}: the cache {uid} cannot be deleted: {status}")
        self.stop(when)

    def stop(self, when: str) -> None:
        if not self.alive:
            return
        code = self.agent.stop(PATIENCE)
        if code != 0 and not (self.fault and self.fault.what == "kill"):
            self.wrong.append(f"{when}: the agent ends with {code}: {self.agent.process.output()[-1500:]}")

    def remains(self) -> list[str]:
        """What lies below the root, and what is mounted there."""
        root = self.place.root
        found = sorted(str(p.relative_to(root)) for p in root.rglob("*"))
        with open("/proc/self/mountinfo") as lines:
            points = [line.split()[4] for line in lines]
        return found + [f"mount {p}" for p in points if p == str(root) or p.startswith(f"{root}/")]

    def others(self) -> None:
        """Agents that a command or a client started end before the next one begins."""
        for pid in self.place.agents():
            if self.alive and pid == self.agent.pid:
                continue
            with contextlib.suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                signal.pidfd_send_signal(process, signal.SIGKILL)
                # Of all its threads: the first may be gone while another still holds the lock.
                select.select([process], [], [], PATIENCE)
                os.close(process)

    def finish(self) -> None:
        for _, reader in self.readers:
            reader.kill()
        if self.agent:
            self.agent.stop(5)
        self.place.close()
        if self.wrong and os.environ.get("MODELCACHE_TESTS_KEEP"):
            print(f"kept: {self.place.folder}")
        else:
            shutil.rmtree(self.place.folder, ignore_errors=True)
