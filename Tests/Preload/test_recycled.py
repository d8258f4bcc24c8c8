"""A file that has the inode number of one that is gone, in a process that knew the other one."""
import hashlib, os, subprocess, sys
import pytest
from preload_world import FILES

# Opens and reads the name that each line of standard input has, and closes it; the sum, or the error's number.
READER = ("import hashlib,os,sys\n"
          "for line in sys.stdin:\n"
          "  try:\n"
          "    with open(sys.argv[1]+'/'+line.rstrip('\\n'),'rb',buffering=0) as f: print(hashlib.sha256(f.readall()).hexdigest(),flush=True)\n"
          "  except OSError as e: print('error',e.errno,flush=True)\n")


class Reader:
    def __init__(self, world):
        self.process = subprocess.Popen([sys.executable, "-c", READER, world.model], env=world.environment(), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def read(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def take_names(world, name):
    """As an update or an eviction does, but the data file stays, without its bytes and under no name of the cache: the
    next file that the agent makes has its inode number, whatever file system this is."""
    kept = world.cache + "/.kept"
    os.rename(f"{world.cache}/.partial/{name}", kept)
    for folder in ("", "/.presence"):
        if os.path.exists(f"{world.cache}{folder}/{name}"):
            os.unlink(f"{world.cache}{folder}/{name}")
    os.truncate(kept, 0)
    return kept


@pytest.mark.parametrize("former", ["complete", "failed"])
@pytest.mark.parametrize("name", ["a.bin", "another.bin"])
# semantics 4, 7
def test_a_file_with_the_inode_number_of_another_that_is_gone_is_waited_for(world, former, name):
    world.agent(*(["--delay", "0"] if former == "complete" else ["--stop-after", "0", "--then", "fail"]))
    reader = Reader(world)
    assert reader.read("a.bin") == (world.sums["a.bin"] if former == "complete" else "error 5")
    if former == "complete":
        world.await_whole()
        assert reader.read("a.bin") == world.sums["a.bin"]
    number = os.stat(f"{world.cache}/.partial/a.bin").st_ino
    world.kill()
    kept = take_names(world, "a.bin")
    os.unlink(world.source + "/a.bin")
    data = os.urandom(FILES["a.bin"] - 1000)
    open(f"{world.source}/{name}", "wb").write(data)
    os.rename(kept, f"{world.cache}/.partial/{name}")
    world.agent("--only-demands")
    assert os.stat(f"{world.cache}/.partial/{name}").st_ino == number
    assert reader.read(name) == hashlib.sha256(data).hexdigest()
    assert reader.end() == 0
