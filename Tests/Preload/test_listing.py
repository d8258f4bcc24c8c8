"""Listing MODEL_DIR: the user's own files first, then the names of the cache that the directory does not have."""
import os, sys
import pytest

NAMES = {"a.bin", "sub", "模型.bin", "own.txt"}


@pytest.fixture
def own(world):
    """A MODEL_DIR of the user's own, with a file that has a name of the model's too."""
    os.makedirs(world.model)
    open(world.model + "/own.txt", "w").write("mine")
    world.agent()
    return world


@pytest.mark.parametrize("program", [
    "print(*os.listdir(d), sep='\\n')", "print(*[e.name for e in os.scandir(d)], sep='\\n')", "print(*os.listdir(os.open(d, os.O_RDONLY)), sep='\\n')",
    "print(*[p.name for p in pathlib.Path(d).iterdir()], sep='\\n')", "os.chdir(d); print(*os.listdir('.'), sep='\\n')",
])
def test_python_lists_both(own, program):
    r = own.run(sys.executable, "-c", "import os,pathlib,sys\nd=sys.argv[1]\n" + program, own.model)
    names = r.stdout.decode().split("\n")[:-1]
    assert r.returncode == 0 and set(names) == NAMES and len(names) == len(NAMES), (names, r.stderr)
    assert names[0] == "own.txt"


@pytest.mark.parametrize("command", ["ls -1 -U {d}", "find {d} -mindepth 1 -maxdepth 1 -printf '%f\\n'", "cd {d} && ls -1 .", "ls -lL {d} | awk 'NR>1{{print $NF}}'"])
def test_shell_commands_list_both(own, command):
    r = own.sh(command.format(d=own.model), LC_ALL="C.UTF-8")
    assert r.returncode == 0 and not r.stderr, r.stderr
    assert sorted(r.stdout.decode().split()) == sorted(NAMES)


def test_find_descends_into_directories_of_the_cache(own):
    r = own.sh(f"find {own.model} -type f -printf '%P %s\\n'")
    assert r.returncode == 0 and not r.stderr, r.stderr
    assert f"sub/b with space.bin {(5 << 20) + 1}" in r.stdout.decode().splitlines()


def test_a_name_in_both_is_listed_once_and_the_users_own_is_read(own):
    open(own.model + "/a.bin", "w").write("mine too")
    r = own.sh(f"ls -U {own.model}; cat {own.model}/a.bin")
    assert r.stdout.decode().split("\n").count("a.bin") == 1 and r.stdout.endswith(b"mine too")


def test_a_directory_in_both_shows_the_files_of_both(own):
    os.makedirs(own.model + "/sub")
    open(own.model + "/sub/own", "w").close()
    assert own.sh(f"ls {own.model}/sub").stdout == b"b with space.bin\nown\n"


def test_a_directory_of_the_users_own_alone_is_as_it_was(own):
    os.makedirs(own.model + "/mine")
    assert own.sh(f"ls -A {own.model}/mine; ls -A /proc/self/task | wc -l; rmdir {own.model}/mine").returncode == 0


def test_rewinding_lists_again(own):
    program = ("import ctypes,sys\nl=ctypes.CDLL(None)\nl.opendir.restype=l.readdir64.restype=ctypes.c_void_p\nfor f in (l.readdir64,l.rewinddir,l.closedir): f.argtypes=[ctypes.c_void_p]\n"
               "d=l.opendir(sys.argv[1].encode())\ndef n():\n  c=0\n  while l.readdir64(d): c+=1\n  return c\na=n(); l.rewinddir(d); b=n(); print(a,b,l.closedir(d))")
    assert own.run(sys.executable, "-c", program, own.model).stdout == b"6 6 0\n"
