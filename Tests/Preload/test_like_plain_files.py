"""What `hack/readers` found: calls whose results differed from those over plain files."""
import io, os, subprocess, sys, tarfile
import pytest
from preload_world import MIB, faults, only


# semantics 3
def test_an_arriving_file_has_no_holes_for_tar(world):
    # tar archives a file of no blocks as one hole, without a read.
    world.agent("--only-demands")
    r = world.run("tar", "--sparse", "-cf", "-", "-C", world.model, "a.bin")
    # It says that the file changed, which is so: its time of change is that of the last chunk.
    assert r.returncode == 0 or b"file changed as we read it" in r.stderr, r.stderr
    with tarfile.open(fileobj=io.BytesIO(r.stdout)) as archive:
        assert archive.extractfile("a.bin").read() == open(world.source + "/a.bin", "rb").read()


STATS = """
import os, sys
path, fd = sys.argv[1], os.open(sys.argv[1], os.O_RDONLY)
for s in (os.stat(path), os.lstat(path), os.fstat(fd), os.stat(os.path.basename(path), dir_fd=os.open(os.path.dirname(path), os.O_RDONLY))):
    assert s.st_blocks * 512 >= s.st_size > 0, s
print("right")
"""


# semantics 3
def test_every_stat_tells_the_blocks_of_a_full_file(world):
    world.agent("--only-demands")
    assert only(world.run(sys.executable, "-c", STATS, world.model + "/a.bin")) == "right"
    # Another file keeps its own.
    sparse = world.base + "/sparse"
    with open(sparse, "wb") as f:
        f.truncate(MIB)
    assert only(world.run("stat", "-c", "%b", sparse)) == "0"


REOPEN = r"""
#include <fcntl.h>
#include <stdio.h>
#include <errno.h>
#include <string.h>
int main(int c, char **v)
{
    char line[32];
    FILE *f = fopen(v[1], c > 3 ? "rbe" : "rb");
    if (!f || fread(line, 1, 8, f) != 8) return 2;
    for (int i = 2; i < c; i++) {
        FILE *again = freopen(v[i], "rb", f);
        if (!again) { printf("%s\n", strerror(errno)); return 0; }
        if (again != f) return 3;
        size_t n = fread(line, 1, 8, f);
        for (size_t j = 0; j < n; j++) printf("%02x", (unsigned char)line[j]);
        printf(" %d %ld %d\n", fileno(f), ftell(f), fcntl(fileno(f), F_GETFD));
    }
    return fclose(f);
}
"""


@pytest.fixture(scope="session")
def reopen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    (folder / "reopen.c").write_text(REOPEN)
    subprocess.run(["gcc", "-O1", "-o", folder / "reopen", folder / "reopen.c"], check=True)
    return str(folder / "reopen")


# semantics 3
def test_a_stream_of_an_arriving_file_can_be_opened_again_on_another(world, reopen):
    world.agent("--only-demands")
    own = world.base + "/own.txt"
    open(own, "w").write("own file")
    for names in (["a.bin", "sub/b with space.bin", own], ["a.bin", own, "a.bin"], ["a.bin", "a.bin/x"], ["a.bin", "missing"]):
        plain = subprocess.run([reopen, *[os.path.join(world.source, n) for n in names]], capture_output=True)
        r = world.run(reopen, *[os.path.join(world.model, n) for n in names])
        assert (r.returncode, r.stdout) == (0, plain.stdout), (names, r)


# semantics 3
@pytest.mark.parametrize("path, error", [("a.bin/", "ENOTDIR"), ("a.bin/.", "ENOTDIR"), ("sub/b with space.bin/", "ENOTDIR"), ("sub/", "right"), ("sub/.", "right")])
def test_a_slash_at_the_end_asks_for_a_directory(world, path, error):
    world.agent("--only-demands")
    program = "import errno,os,sys\ntry: os.open(sys.argv[1],os.O_RDONLY); print('right')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    assert only(world.run(sys.executable, "-c", program, f"{world.model}/{path}")) == error


# Not the errno of the descriptor that shows no holes.
def test_a_mapping_of_no_bytes_is_refused_as_ever(world):
    world.agent("--only-demands")
    program = ("import ctypes,errno,os,sys\nlibc=ctypes.CDLL(None,use_errno=True); libc.mmap.restype=ctypes.c_void_p\n"
               "libc.mmap(None,ctypes.c_size_t(0),1,2,os.open(sys.argv[1],0),ctypes.c_long(0)); print(errno.errorcode[ctypes.get_errno()])")
    assert only(world.run(sys.executable, "-c", program, world.model + "/a.bin")) == "EINVAL"


FORK = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
/* Small mappings lie where the kernel puts the next memory of a process that lacks them: a forked child's own. */
int main(int c, char **v)
{
    char *at[24], byte;
    int fd = open(v[1], O_RDONLY), plain = open(v[2], O_RDONLY), status;
    if (c < 3 || fd < 0) return 2;
    for (int i = 0; i < 24; i++) at[i] = mmap(0, 65536 << (i % 5), PROT_READ, MAP_PRIVATE, fd, 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 24; i++) {
            char *more = malloc(200000);
            memset(more, 'x', 200000);
            if (pread(plain, &byte, 1, 65535) != 1 || at[i][65535] != byte) _exit(3);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (status) printf("child %x\n", status);
    else printf("right\n");
    return 0;
}
"""


# semantics 9
def test_a_forked_childs_own_memory_lies_beside_its_mappings(world, tmp_path):
    (tmp_path / "fork.c").write_text(FORK)
    subprocess.run(["gcc", "-O1", "-o", tmp_path / "fork", tmp_path / "fork.c"], check=True)
    world.agent("--only-demands")
    assert only(world.run(tmp_path / "fork", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_FAULTS="userfaultfd")) == "right"


# semantics 5
@pytest.mark.parametrize("call", ["mmap(at, 8192, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 1) == MAP_FAILED", "munmap(at + 1, 4096)",
                                  "mremap(aside, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at + 1) == MAP_FAILED"], ids=["mmap", "munmap", "mremap"])
def test_a_call_that_fails_leaves_the_mapping_as_it_was(world, tmp_path, call):
    """The library forgot the mapping before the call: who touched it then, here or in a forked child, got no answer."""
    (tmp_path / "fail.c").write_text("""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int c, char **v)
{
    int fd = open(v[1], O_RDONLY), plain = open(v[2], O_RDONLY), status = 0;
    char *at = mmap(0, 8192, PROT_READ, MAP_PRIVATE, fd, 0), *aside = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte;
    (void)aside;
    if (!(CALL)) return 2;
    pread(plain, &byte, 1, 5000);
    if (fork() == 0) _exit(at[5000] != byte);
    wait(&status);
    printf("%s\\n", c == 3 && !status && at[5000] == byte ? "right" : "wrong");
    return 0;
}""".replace("CALL", call))
    subprocess.run(["gcc", "-O1", "-o", tmp_path / "fail", tmp_path / "fail.c"], check=True)
    world.agent("--only-demands")
    assert only(world.run(tmp_path / "fail", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_FAULTS="userfaultfd")) == "right"


@faults
# semantics 10
def test_the_first_descriptor_has_the_lowest_number(world, mode):
    # The library's thread gave the program its model before it had closed what the agent passed it.
    world.agent("--only-demands")
    program = "import os,sys\nprint(os.open(sys.argv[1],os.O_RDONLY))"
    for _ in range(20):
        assert only(world.run(sys.executable, "-c", program, world.model + "/a.bin", MODELCACHE_FAULTS=mode)) == "3"


LIST = r"""
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int c, char **v)
{
    static char to[2][16];
    struct aiocb b[2], *list[3] = {&b[0], 0, &b[1]};
    memset(b, 0, sizeof b);
    for (int i = 0; i < 2; i++) {
        b[i].aio_fildes = open(v[1 + i], O_RDONLY), b[i].aio_lio_opcode = LIO_READ;
        b[i].aio_buf = to[i], b[i].aio_nbytes = 16;
    }
    int r = lio_listio(LIO_WAIT, list, 3, 0), e = errno;
    printf("%d %d %d %d %d %zd\n", c, r, r < 0 ? e == EIO : 0, aio_error(&b[0]) == EIO, aio_error(&b[1]), aio_return(&b[1]));
    return 0;
}
"""


# semantics 8, 10
def test_a_list_of_reads_tells_which_of_them_failed(world, tmp_path):
    (tmp_path / "list.c").write_text(LIST)
    subprocess.run(["gcc", "-O1", "-o", tmp_path / "list", tmp_path / "list.c"], check=True)
    world.agent("--stop-after", "0", "--then", "fail")
    r = world.run(tmp_path / "list", world.model + "/a.bin", world.source + "/a.bin")
    assert r.stdout == b"3 -1 1 1 0 16\n", (r.stdout, r.stderr)


WAITS = r"""
#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int fd, ends[2];
static void *completes(void *unused)
{
    static char to[1 << 20];
    int all = dup(fd);
    while (read(all, to, sizeof to) > 0) {}
    return write(ends[1], "x", 1) == 1 ? 0 : unused;
}
static void polled(int number)
{
    int asked[] = {number, -1, ~number, number, number};
    struct pollfd p[5] = {{number, POLLIN | POLLPRI, 7}, {-1, POLLIN, 7}, {~number, POLLIN, 7}, {number, 0, 7}, {number, POLLOUT, 7}};
    printf("%d:", poll(p, 5, 0));
    for (int i = 0; i < 5; i++) printf(" %x%s", p[i].revents, p[i].fd == asked[i] ? "" : " other");
}
int main(int c, char **v)
{
    static char to[16];
    struct aiocb b;
    const struct aiocb *list[1] = {&b};
    fd = open(v[c - 1], O_RDONLY);
    polled(fd);
    dup2(fd, 0), polled(0);
    memset(&b, 0, sizeof b);
    b.aio_fildes = fd, b.aio_buf = to, b.aio_nbytes = 16;
    printf(" cancel %d", aio_cancel(fd, 0));
    if (aio_read(&b)) return 1;
    while (aio_error(&b) > 0 && aio_suspend(list, 1, 0) < 1) {}
    printf(" %zd %d", aio_return(&b), aio_cancel(fd, &b));
    if (pipe(ends)) return 1;
    struct pollfd p[2] = {{fd, 0, 7}, {ends[0], POLLIN, 7}};
    pthread_t thread;
    pthread_create(&thread, 0, completes, 0);
    int r = poll(p, 2, -1);
    pthread_join(thread, 0);
    printf(" waited %d %x%s %x %d\n", r, p[0].revents, p[0].fd == fd ? "" : " other", p[1].revents, aio_cancel(fd, &b));
    return 0;
}
"""


# semantics 4, 8
@faults
def test_polls_and_cancellations_leave_the_programs_memory_as_they_found_it(world, tmp_path, mode):
    (tmp_path / "waits.c").write_text(WAITS)
    subprocess.run(["gcc", "-O1", "-pthread", "-o", tmp_path / "waits", tmp_path / "waits.c"], check=True)
    world.agent("--only-demands")
    plain, arriving = (world.run(tmp_path / "waits", folder + "/a.bin", MODELCACHE_FAULTS=mode) for folder in (world.source, world.model))
    assert plain.stdout.endswith(b"\n") and b" other" not in plain.stdout, plain
    assert arriving.stdout == plain.stdout, (arriving, plain)


# semantics 2, 16
@pytest.mark.parametrize("how", ["os.open('a.bin', 0)", "os.open('a.bin', 0, dir_fd=d)", "os.stat('a.bin')"], ids=["open", "openat", "stat"])
def test_a_working_directory_in_a_cache_that_went_shows_no_holes(world, how):
    """A cache that is evicted by force is unmounted; who works in it kept the sparse files."""
    if not world.mounted:
        pytest.fail("needs a tmpfs of its own: run as root")
    world.agent("--only-demands")
    program = ("import errno,os,sys\nos.chdir(sys.argv[1]); d=os.open('.',os.O_RDONLY)\nprint('there',flush=True); sys.stdin.readline()\n"
               f"try: {how}; print('opened')\nexcept OSError as e: print(errno.errorcode[e.errno])")
    reader = subprocess.Popen([sys.executable, "-c", program, world.model], env=world.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "there\n"
    subprocess.run(["umount", "-l", world.cache], check=True)
    out, _ = reader.communicate("\n", timeout=120)
    world.mounted = False
    assert out == "ENOENT\n"
