"""Settings, starting an agent, and what the library is when it is off."""
import os, re, signal, subprocess, sys
import pytest
from preload_world import HERE, LIBRARY, only


@pytest.mark.parametrize("change,name", [
    ({"MODEL_DIR": None}, "MODEL_DIR"), ({"MODEL_DIR": "models"}, "MODEL_DIR"), ({"MODEL_DIR": "/etc/passwd"}, "MODEL_DIR"), ({"OSS_PATH": None}, "OSS_PATH"),
    ({"OSS_PATH": "http://b/p"}, "OSS_PATH"), ({"OSS_PATH": "oss://b"}, "OSS_PATH"), ({"OSS_PATH": "oss:///p/"}, "OSS_PATH"), ({"OSS_ENDPOINT": None}, "OSS_ENDPOINT"),
    ({"OSS_ACCESS_KEY_ID": "SECRETVALUE"}, "OSS_ACCESS_KEY_SECRET"), ({"OSS_ACCESS_KEY_SECRET": "SECRETVALUE"}, "OSS_ACCESS_KEY_ID"),
    ({"HTTP_SOURCE_IP": "1.2.3.4,host"}, "HTTP_SOURCE_IP"), ({"HTTP_SOURCE_IP": "10.0.0.0/33"}, "HTTP_SOURCE_IP"), ({"HTTP_SOURCE_IP": "10.0.0.0/"}, "HTTP_SOURCE_IP"),
    ({"HTTP_SOURCE_IP": "/8"}, "HTTP_SOURCE_IP"), ({"HTTP_SOURCE_IP": "::/129"}, "HTTP_SOURCE_IP"), ({"HTTP_SOURCE_IP": "10.0.0.0/8/8"}, "HTTP_SOURCE_IP"),
    ({"HTTP_SOURCE_IP": "1" * 60 + "/8"}, "HTTP_SOURCE_IP"), ({"MODELCACHE_CONFIG": "/nonexistent"}, "MODELCACHE_CONFIG"), ({"MODELCACHE_FAULTS": "x"}, "MODELCACHE_FAULTS"),
    ({"MODELCACHE_DEADLINE_SECONDS": "x"}, "MODELCACHE_DEADLINE_SECONDS"), ({"MODELCACHE_LOG": "loud"}, "MODELCACHE_LOG"),
])
def test_a_wrong_setting_ends_the_program_with_one_line(world, change, name):
    r = world.run("/bin/echo", "ran", **change)
    assert r.returncode == 78 and r.stdout == b""
    assert re.fullmatch(rf"libossc_preload: {name}: [^\n]+; [^\n]+\n", r.stderr.decode()) and b"SECRETVALUE" not in r.stderr


@pytest.mark.parametrize("sources", ["10.0.0.0/16", "10.0.0.5, 10.0.1.0/24", "2001:db8::/32,::1", "0.0.0.0/0", "::ffff:10.0.0.0/128"])
def test_source_addresses_may_be_ranges(world, sources):
    world.agent()
    assert only(world.run("/usr/bin/sha256sum", world.model + "/a.bin", HTTP_SOURCE_IP=sources)) == world.sums["a.bin"]


def test_settings_that_do_not_fit_name_the_variable_and_not_its_value(world):
    world.agent()
    r = world.run("/bin/cat", world.model + "/a.bin", OSS_NOTE="SECRETVALUE" * 6000)
    assert r.returncode == 78 and re.fullmatch(r"libossc_preload: OSS_NOTE: [^\n]+; [^\n]+\n", r.stderr.decode()), r.stderr[:200]
    assert only(world.run("/usr/bin/sha256sum", world.model + "/a.bin", OSS_NOTE="v" * 60000)) == world.sums["a.bin"]


def test_debug_lines_are_said_when_asked_for(world):
    world.agent("--only-demands")
    assert b"opened while it fills" in world.sh(f"cat {world.model}/a.bin >/dev/null", MODELCACHE_LOG="debug").stderr
    assert world.sh(f"cat {world.model}/a.bin >/dev/null", MODELCACHE_LOG="warn").stderr == b""


def test_the_agents_refusal_ends_the_program(world):
    world.agent("--error", "the key is wrong; correct OSS_ACCESS_KEY_ID")
    r = world.sh(f"cat {world.model}/a.bin")
    assert r.returncode == 78 and r.stderr == b"libossc_preload: the key is wrong; correct OSS_ACCESS_KEY_ID\n"


def test_no_agent_and_none_to_start_is_said(world):
    r = world.run("/bin/cat", world.model + "/a.bin")
    assert r.returncode == 78 and b"MODELCACHE_AGENT" in r.stderr


def start_script(world, text):
    path = world.base + "/modelcache"
    open(path, "w").write(text)
    os.chmod(path, 0o755)
    return path


def test_an_agent_is_started_without_the_programs_secrets(world):
    path = start_script(world, f"""#!/bin/sh
env > {world.base}/env; echo "$@" > {world.base}/args; echo $$ > {world.base}/pid
exec {sys.executable} {HERE}/fake_agent.py --source {world.source} --cache {world.cache} --socket {world.socket}
""")
    r = world.run("/usr/bin/sha256sum", world.model + "/a.bin", MODELCACHE_AGENT=path, OSS_ACCESS_KEY_ID="IDVALUE", OSS_ACCESS_KEY_SECRET="SECRETVALUE")
    os.kill(int(open(world.base + "/pid").read()), signal.SIGKILL)
    assert only(r) == world.sums["a.bin"]
    env = open(world.base + "/env").read()
    assert "SECRETVALUE" not in env and "LD_PRELOAD" not in env and "ENABLE_CONNECTOR" not in env and "IDVALUE" not in env
    assert open(world.base + "/args").read() == f"agent --idle-exit --socket {world.socket} --root {world.base}\n"


def test_an_agent_that_cannot_start_gives_its_reason(world):
    path = start_script(world, "#!/bin/sh\necho 'MODELCACHE_ROOT is read-only; name another' >&2; exit 1\n")
    r = world.run("/bin/cat", world.model + "/a.bin", MODELCACHE_AGENT=path)
    assert r.returncode == 78 and b"MODELCACHE_ROOT is read-only; name another" in r.stderr and r.stderr.count(b"\n") == 1


@pytest.mark.parametrize("value", [None, "", "0"])
def test_switched_off_it_makes_no_system_call_of_its_own(world, value):
    r = subprocess.run(["strace", "-f", "-e", "trace=connect,socket,eventfd2,userfaultfd,clone,clone3,readlinkat,getdents64", "/bin/true"],
                       env={k: v for k, v in world.environment(ENABLE_CONNECTOR=value).items()}, capture_output=True)
    lines = [l for l in r.stderr.decode().splitlines() if "(" in l]
    assert r.returncode == 0 and not lines, lines
    assert b"No such file" in world.sh(f"cat {world.model}/a.bin", ENABLE_CONNECTOR=value, LC_ALL="C").stderr


def test_under_musl_it_prints_one_line_and_does_nothing(world):
    program = world.base + "/hello"
    open(program + ".c", "w").write('#include <stdio.h>\nint main(void) { FILE *f = fopen("/etc/passwd", "r"); return puts("hi") < 0 || !f || fgetc(f) < 0; }\n')
    subprocess.run(["musl-gcc", "-o", program, program + ".c"], check=True)
    r = world.run(program)
    assert (r.returncode, r.stdout, r.stderr.count(b"\n")) == (0, b"hi\n", 1) and b"glibc" in r.stderr
    r = world.run(program, ENABLE_CONNECTOR="0")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"hi\n", b"")


def test_the_library_is_small_needs_glibc_alone_and_exports_its_hooks():
    assert os.path.getsize(LIBRARY) < 200_000
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-dW", LIBRARY], capture_output=True, text=True).stdout)
    assert set(needed) <= {"libc.so.6", "libdl.so.2", "libpthread.so.0"}
    symbols = subprocess.run(["readelf", "-W", "--dyn-syms", LIBRARY], capture_output=True, text=True).stdout
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([0-9.]+)", symbols)]
    assert max(versions) <= (2, 17)
    exported = [l.split()[7] for l in symbols.splitlines() if " UND " not in l and ("GLOBAL" in l or "WEAK" in l)]
    assert "open" in exported and "mmap64" in exported
    assert not [s for s in exported if s.startswith(("swift_", "ossc_", "$"))]
