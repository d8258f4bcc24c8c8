"""Several models in one process: each has its own socket, directory, faults and deadlines; all share one thread."""
import os, re, subprocess, sys, time
import pytest
from preload_world import World, faults, only
from test_signals_and_forks import programs  # noqa: F401


@pytest.fixture
def three(tmp_path):
    """Three ModelCaches as a pod has them: the first is MODEL_DIR's, the others are entries."""
    worlds = []
    for name in "abc":
        os.makedirs(tmp_path / name)
        worlds.append(World(tmp_path / name).as_volume())
    yield worlds
    for world in worlds:
        if world.process and world.process.poll() is None:
            world.kill()
        if world.mounted:
            subprocess.run(["umount", "-l", world.cache])


def start(worlds, program, *arguments, **more):
    """A program that reads `worlds`, the first as MODEL_DIR."""
    first, *others = worlds
    variables = first.environment(MODELCACHE_MODELS=";".join(w.model for w in others), PYTHONUTF8="1", **more)
    return subprocess.Popen([program, *arguments], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def python(worlds, text, **more):
    return start(worlds, sys.executable, "-c", "import hashlib, mmap, os, sys, threading, time\n" + text, *(w.model for w in worlds), **more)


def finish(program, text="", timeout=120):
    out, errors = program.communicate(text, timeout=timeout)
    return program.returncode, out, errors


def threads_and_userfaults(program):
    names = []
    for number in os.listdir(f"/proc/{program.pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{program.pid}/fd/{number}"))
        except FileNotFoundError:
            pass
    return len(os.listdir(f"/proc/{program.pid}/task")), names.count("anon_inode:[userfaultfd]"), len([n for n in names if n.startswith("socket:")])


@faults
def test_all_are_mapped_at_once_through_one_thread(three, mode):
    # Nothing arrives before it is asked for: all three are open for as long as it takes to look.
    for world in three:
        world.agent("--only-demands")
    program = python(three, """
maps = []
for d in sys.argv[1:]:
    with open(d + "/a.bin", "rb") as f: maps.append(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ))
print("mapped", flush=True)
sys.stdin.readline()
for m in maps: print(hashlib.sha256(m).hexdigest())
""", MODELCACHE_FAULTS=mode)
    assert program.stdout.readline() == "mapped\n"
    if mode == "userfaultfd":
        assert threads_and_userfaults(program) == (2, 1, 3)
    code, out, errors = finish(program, "\n")
    assert (code, out.split(), errors) == (0, [w.sums["a.bin"] for w in three], "")


# semantics 22
def test_a_program_asks_no_agent_of_a_model_that_it_does_not_touch(three, reader):
    first, refusing, absent = three
    record = refusing.base + "/record"
    first.agent("--delay", "0.03")
    refusing.agent("--record", record, "--error", "the key is wrong; correct OSS_ACCESS_KEY_ID")
    began = time.monotonic()  # the absent agent's deadline is 60 s
    path = "/a.bin"
    assert finish(start(three, reader, "mmap", first.model + path, first.source + path))[0] == 0
    assert not os.path.exists(record) and time.monotonic() - began < 30
    # Touched, each ends the program in its own words.
    code, _, errors = finish(start(three, "/bin/cat", refusing.model + path))
    assert (code, errors) == (78, f"libossc_preload: {refusing.model}: the key is wrong; correct OSS_ACCESS_KEY_ID\n")
    code, _, errors = finish(start(three, "/bin/cat", absent.model + path, MODELCACHE_AGENT_DEADLINE_SECONDS="1"))
    assert code == 69 and absent.socket in errors and first.socket not in errors


def test_the_deadline_of_one_ends_its_readers_alone(three):
    slow, lost, _ = three
    slow.agent("--delay", "0.4")
    lost.agent("--only-demands", "--stop-after", "1")
    program = python(three, """
slow, lost = sys.argv[1:3]
begun = open(lost + "/a.bin", "rb", buffering=0)
print("first", len(begun.read(100)), flush=True)
sys.stdin.readline()
def read():
    try: begun.seek(-9, 2); begun.read(9); print("read", flush=True)
    except OSError as error: print("errno", error.errno, flush=True)
threading.Thread(target=read).start()
with open(slow + "/a.bin", "rb") as f: mapped = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
with open(lost + "/a.bin", "rb") as f: gone = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
child = os.fork()
if child == 0: os._exit(gone[-1])
own = hashlib.sha256(mapped).hexdigest()
print("signal", os.waitpid(child, 0)[1] & 127, flush=True)
print(own)
""", MODELCACHE_AGENT_DEADLINE_SECONDS="2")
    assert program.stdout.readline() == "first 100\n"
    lost.kill()
    code, out, errors = finish(program, "\n")
    # SIGBUS for the child that waits by a fault, EIO for the thread that waits by a read; the other model goes on.
    assert (code, sorted(out.split("\n"))) == (0, sorted(["", "errno 5", "signal 7", slow.sums["a.bin"]])), (out, errors)
    assert f"no agent answers at {lost.socket}" in errors and slow.socket not in errors


def test_a_dead_agent_delays_no_fault_of_another_model(three):
    here, gone, _ = three
    here.agent("--only-demands", "--delay", "0")
    gone.agent("--only-demands", "--stop-after", "1")
    program = python(three, """
here, gone = sys.argv[1:3]
with open(gone + "/a.bin", "rb") as f: away = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
away[0]
print("first", flush=True)
sys.stdin.readline()
# A write takes its bytes from the mapping without the interpreter's lock.
threading.Thread(target=lambda: os.write(os.pipe()[1], memoryview(away)[-9:]), daemon=True).start()
while not any("userfault" in open(f"/proc/self/task/{t}/wchan").read() for t in os.listdir("/proc/self/task")): time.sleep(0.01)
with open(here + "/a.bin", "rb") as f: mapped = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print(hashlib.sha256(mapped).hexdigest(), flush=True)
os._exit(0)
""")
    assert program.stdout.readline() == "first\n"
    gone.kill()
    began = time.monotonic()
    code, out, errors = finish(program, "\n")
    assert (code, out.split()) == (0, [here.sums["a.bin"]]), errors
    # Its deadline is 60 s.
    assert time.monotonic() - began < 30


@faults
def test_fork_and_exec_hand_all_of_them_over(three, reader, mode):
    for world in three:
        world.agent("--delay", "0.05")
    # Descriptors, then mappings: of a program that exec made, and of children of children.
    a, b, c = (w.model + "/a.bin" for w in three)
    script = f"exec 5<'{a}' 6<'{b}' 7<'{c}'; sleep 0.2; for n in 5 6 7; do sha256sum <&$n | cut -c1-64; done"
    code, out, errors = finish(start(three, "/bin/sh", "-c", script, MODELCACHE_FAULTS=mode))
    assert (code, out.split(), errors) == (0, [w.sums["a.bin"] for w in three], "")
    name = "/sub/b with space.bin"
    both = f"{reader} fork-half '{three[1].model}{name}' '{three[1].source}{name}' && {reader} fork '{three[2].model}{name}' '{three[2].source}{name}'"
    assert finish(start(three, "/bin/sh", "-c", both, MODELCACHE_FAULTS=mode))[0] == 0


def test_a_child_started_after_all_agents_came_anew_reads_each(three):
    for world in three:
        world.agent("--stop-after", "1")
    program = start(three, "/bin/sh", "-c", "for d in \"$@\"; do ls \"$d\" >/dev/null; done; echo up; read go; for d in \"$@\"; do sha256sum \"$d/a.bin\" | cut -c1-64; done",
                    "sh", *(w.model for w in three))
    assert program.stdout.readline() == "up\n"
    for world in three:
        world.kill()
        world.agent()
    code, out, errors = finish(program, "\n")
    assert (code, out.split(), errors) == (0, [w.sums["a.bin"] for w in three], "")


def test_an_update_of_one_model_refuses_its_new_files_alone(three):
    old, other, _ = three
    old.agent(), other.agent("--delay", "0.05")
    program = python(three, """
old, other = sys.argv[1:3]
first = [open(d + "/a.bin", "rb").read(1) for d in (old, other)]
print("first", flush=True)
sys.stdin.readline()
try: open(old + "/sub/b with space.bin", "rb"); print("opened")
except OSError as error: print(error.errno)
for path in (old + "/a.bin", other + "/sub/b with space.bin"): print(hashlib.sha256(open(path, "rb").read()).hexdigest())
""")
    assert program.stdout.readline() == "first\n"
    old.kill()
    old.agent("--generation", "H", "--set", "2", "--replaced", "sub/b with space.bin")
    code, out, errors = finish(program, "\n")
    assert (code, out.split()) == (0, ["5", old.sums["a.bin"], other.sums["sub/b with space.bin"]]), errors
    assert "was replaced at the source" in errors


@pytest.mark.parametrize("kept", [False, True])
def test_sources_of_one_agent_each_have_their_settings_and_directory(world, kept):
    record, one, two = world.base + "/record", world.base + "/models/one", world.base + "/models/deep/two"
    world.agent("--record", record, "--delay", "0.02")
    if kept:
        # A directory of the user's own keeps its files, and is not replaced by a link.
        os.makedirs(two)
        open(two + "/mine", "w").write("own")
    variables = dict(
        MODEL_DIR=None, OSS_PATH=None, MODELCACHE_MODELS=f"\n {one}=oss://b/one/ \n{two}=s3://c/two/\n", OSS_ACCESS_KEY_ID="KEY1", OSS_ACCESS_KEY_SECRET="SECRET1",
        MODELCACHE_INCLUDE="*.bin", MODELCACHE_MODEL_2_OSS_ACCESS_KEY_ID="KEY2", MODELCACHE_MODEL_2_OSS_ACCESS_KEY_SECRET="SECRET2",
        ALIBABA_CLOUD_ACCESS_KEY_ID="KEY3", ALIBABA_CLOUD_ROLE_ARN="ROLE3")
    shown = world.sh(f"cat '{two}/a.bin' | sha256sum | cut -c1-64; sha256sum < '{one}/a.bin' | cut -c1-64; ls '{two}'; exec 5<'{two}/sub/b with space.bin'; exec sha256sum <&5", **variables)
    words = shown.stdout.decode().split()
    assert shown.returncode == 0 and words[:2] == [world.sums["a.bin"]] * 2 and world.sums["sub/b with space.bin"] in words, shown
    assert ("mine" in words) == kept and os.path.islink(two) != kept and os.path.islink(one)
    opened = {}
    for line in open(record, encoding="utf-8"):
        settings = dict(s.split("=", 1) for s in line.split() if "=" in s)
        opened[settings["MODEL_DIR"]] = settings
    assert set(opened) == {one, two}
    wanted = {
        one: ("oss://b/one/", "KEY1", "SECRET1", "*.bin", "127.0.0.1:1", "KEY3", "ROLE3"),
        # The first model's keys and role stay away from another model's store.
        two: ("s3://c/two/", "KEY2", "SECRET2", None, None, None, None),
    }
    names = ("OSS_PATH", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "MODELCACHE_INCLUDE", "OSS_ENDPOINT", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ROLE_ARN")
    assert {d: tuple(s.get(n) for n in names) for d, s in opened.items()} == wanted
    assert not [n for s in opened.values() for n in s if n.startswith("MODELCACHE_MODEL")]


@pytest.mark.parametrize("change,name", [
    ({"MODELCACHE_MODELS": "models/x=oss://b/p/"}, "MODELCACHE_MODELS"), ({"MODELCACHE_MODELS": "/=oss://b/p/"}, "MODELCACHE_MODELS"),
    ({"MODELCACHE_MODELS": "oss://b/p/"}, "MODELCACHE_MODELS"), ({"MODELCACHE_MODELS": "/m=http://b/p/"}, "MODELCACHE_MODELS"),
    ({"MODELCACHE_MODELS": "/m=oss://b"}, "MODELCACHE_MODELS"), ({"MODELCACHE_MODELS": "/m;/m/draft"}, "MODELCACHE_MODELS"),
    ({"MODELCACHE_MODELS": "/m/x/..;/m"}, "MODELCACHE_MODELS"), ({"MODELCACHE_MODELS": "/etc/passwd"}, "MODELCACHE_MODELS"),
    ({"MODELCACHE_MODELS": ";".join(f"/m{n}" for n in range(16))}, "MODELCACHE_MODELS"), ({"MODELCACHE_MODELS": " ; ", "MODEL_DIR": None}, "MODELCACHE_MODELS"),
    ({"MODELCACHE_MODELS": "/m", "MODELCACHE_MODEL_2_OSS_REGION": "SECRETVALUE"}, "MODELCACHE_MODEL_2_OSS_REGION"),
    ({"MODELCACHE_MODELS": "/m=oss://b/p/", "MODELCACHE_MODEL_1_OSS_ACCESS_KEY_ID": "SECRETVALUE"}, "MODELCACHE_MODEL_1_OSS_ENDPOINT"),
    ({"MODELCACHE_MODELS": "/m=s3://b/p/", "MODELCACHE_MODEL_1_OSS_ACCESS_KEY_ID": "SECRETVALUE"}, "MODELCACHE_MODEL_1_OSS_ACCESS_KEY_SECRET"),
])
def test_a_wrong_list_ends_the_program_with_one_line(world, change, name):
    r = world.run("/bin/echo", "ran", **change)
    assert r.returncode == 78 and r.stdout == b""
    assert re.fullmatch(rf"libossc_preload: {name}: [^\n]+; [^\n]+\n", r.stderr.decode()) and b"SECRETVALUE" not in r.stderr


def test_an_agent_that_is_started_gets_no_key_of_any_model(world):
    script = world.base + "/modelcache"
    open(script, "w").write(f"#!/bin/sh\nenv > {world.base}/env; echo ended >&2; exit 1\n")
    os.chmod(script, 0o755)
    r = world.run("/bin/cat", world.base + "/m/a.bin", MODELCACHE_AGENT=script, MODELCACHE_MODELS=f"{world.base}/m=s3://b/p/",
                  MODELCACHE_MODEL_1_OSS_ACCESS_KEY_ID="KEY1", MODELCACHE_MODEL_1_OSS_ACCESS_KEY_SECRET="SECRET1")
    assert r.returncode == 78 and "MODELCACHE_MODEL" not in open(world.base + "/env").read()


def test_sixteen_models_cost_a_program_that_reads_none_a_few_calls(world):
    models = ";".join(f"{world.base}/m{n}" for n in range(15))
    calls = {}
    for name, listed in (("one", None), ("all", models)):
        trace = subprocess.run(["strace", "-f", "-o", f"{world.base}/{name}", "/bin/true"], env=world.environment(MODELCACHE_MODELS=listed), capture_output=True)
        assert (trace.returncode, trace.stderr) == (0, b"")
        calls[name] = [line.split(" ", 1)[1] for line in open(f"{world.base}/{name}")]
    # For each: whether it is a directory, and where it leads.
    assert len(calls["all"]) - len(calls["one"]) <= 2 * 15 + 2, calls["all"]


@faults
def test_an_entry_takes_no_memory_from_the_programs_heap(three, programs, mode):  # noqa: F811
    for world in three:
        world.agent()
    assert finish(start(three, programs["heap"], three[2].model, "a.bin", MODELCACHE_FAULTS=mode))[::2] == (0, "")
