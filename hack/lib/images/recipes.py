"""What is in each image: one program, the libraries it loads, and the few files the C library asks for.

No shell. The Debian packages that the files are of stand in dpkg's database. Everything runs with a read-only root: programs write to /tmp and to what
is mounted, nothing else. The user of every image is 65532; the agent's DaemonSet alone asks for root.
"""
import pathlib
import platform
import subprocess
import sys
import tempfile
from typing import Callable, NamedTuple

from archive import Image
from debian import add_packages, owner
from libraries import needed
from release_version import version
from tree import Tree

TRIPLE = f"{platform.machine()}-linux-gnu"
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


class Places(NamedTuple):
    """Where the built products, the unpacked llama.cpp the built readers and the unpacked old Debian are."""

    distribution: pathlib.Path
    llama: pathlib.Path | None
    readers: pathlib.Path | None = None
    old: pathlib.Path | None = None


def base() -> Tree:
    """What every image begins with."""
    tree = Tree()
    for folder in ("dev", "etc", "proc", "run", "sys"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    tree.file("etc/passwd", b"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")
    tree.file("etc/group", b"root:x:0:\nnonroot:x:65532:\n")
    # Without it the C library asks DNS before /etc/hosts, in which the kubelet writes the pod's own name.
    tree.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    return tree


def certificates(tree: Tree) -> None:
    """The authorities that libcurl and the operator trust, where Debian's builds look for them."""
    if not CERTIFICATES.exists():
        sys.exit(f"images: {CERTIFICATES} is missing: install ca-certificates")
    tree.file(str(CERTIFICATES), CERTIFICATES)


def product(places: Places, *parts: str) -> pathlib.Path:
    path = places.distribution.joinpath(*parts)
    if not path.exists():
        sys.exit(f"images: {path} is missing: run hack/build")
    return path


def single(reference: str, program: pathlib.Path, *more: tuple[str, pathlib.Path], trusted: bool = True) -> Image:
    """An image of one program at /<its name>, and of libraries at the paths given."""
    below = base()
    libraries = needed([program, *(file for _, file in more)])
    packages = {owner(file) for file in libraries.values()}
    if trusted:
        certificates(below)
        packages.add("ca-certificates")
    for path, file in libraries.items():
        below.program(path, file)
    add_packages(below, packages)
    top = Tree()
    top.program(program.name, program)
    for path, file in more:
        top.program(path, file)
    return Image(reference, [below, top], [f"/{program.name}"], {"HOME": "/tmp"})


def operator(places: Places) -> Image:
    return single("modelcache/operator:dev", product(places, "bin", "modelcache-operator"))


def agent(places: Places) -> Image:
    """The agent, the warm-up Job's command, and the library that pods are given."""
    return single("modelcache/agent:dev", product(places, "bin", "modelcache"),
                  ("lib/libossc_preload.so", product(places, "lib", "libossc_preload.so")))


def devstore(places: Places) -> Image:
    return single("modelcache/devstore:dev", product(places, "bin", "modelcache-devstore"), trusted=False)


C_LIBRARY_PARTS = ("libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1")
LLAMA_PROGRAMS = ("llama-server", "llama-completion", "llama-bench", "llama-cli", "llama-gguf-split")


def llama(places: Places) -> Image:
    """Debian's own llama.cpp with the C library it was built for, unmodified in what it does: hack/llama
    points its libraries at the cache's folder, and here they are pointed back at the system's."""
    if places.llama is None:
        sys.exit("images: llama.cpp is not unpacked: run hack/llama")
    root = places.llama / "root"
    folder = root / "usr/lib" / TRIPLE
    [loader] = folder.glob("ld-linux-*.so.*")
    plugins = sorted((folder / "ggml/backends0").glob("*.so"))
    programs = [root / "usr/bin" / name for name in LLAMA_PROGRAMS]
    below, top = base(), Tree()
    interpreter = interpreter_of(programs[0])

    def place(file: pathlib.Path) -> None:
        inside = f"usr/lib/{TRIPLE}/{file.relative_to(folder)}"
        own = file.name.startswith(("libllama", "libggml", "libmtmd"))
        tree = top if own else below
        tree.file(inside, repointed(file, loader, folder, root) if own else file, 0o755)

    for path, file in needed([*programs, *plugins], loader, (folder, folder / "llama")).items():
        if file.name != loader.name:
            place(file)
    for plugin in plugins:
        place(plugin)
    # Every image with glibc has these names; a library that also runs on an old glibc asks for them.
    for name in C_LIBRARY_PARTS:
        below.program(f"usr/lib/{TRIPLE}/{name}", folder / name)
    below.program(interpreter, loader)
    for program in programs:
        top.program(f"usr/bin/{program.name}", program)
    # What a pod's preStop hook runs where the kubelet has no sleep of its own (before Kubernetes 1.29).
    below.program("usr/bin/sleep", pathlib.Path("/usr/bin/sleep"))
    return Image("modelcache/llama.cpp:dev", [below, top], ["/usr/bin/llama-server"],
                 {"HOME": "/tmp", "LLAMA_CACHE": "/tmp/llama.cpp", "PATH": "/usr/bin"})


def repointed(file: pathlib.Path, loader: pathlib.Path, folder: pathlib.Path, root: pathlib.Path) -> bytes:
    """The library with a run path that names the image's folders, not this machine's."""
    with tempfile.TemporaryDirectory() as work:
        copy = pathlib.Path(work) / file.name
        copy.write_bytes(file.read_bytes())
        subprocess.run([loader, "--library-path", folder, root / "usr/bin/patchelf", "--force-rpath", "--set-rpath",
                        f"/usr/lib/{TRIPLE}:/usr/lib/{TRIPLE}/llama", copy], check=True)
        return copy.read_bytes()


def reader(places: Places, kind: str) -> Image:
    """One small program that reads a file, built without glibc's loader: what a musl or a static image is to the preload library."""
    if places.readers is None:
        sys.exit("images: the readers are not built: call hack/images")
    program = places.readers / f"reader-{kind}"
    tree = base()
    tree.program("reader", program)
    if kind == "musl":
        loader = interpreter_of(program)
        tree.program(loader, pathlib.Path(loader))
    return Image(f"modelcache/reader:{kind}", [tree], ["/reader"], {})


def old_glibc(places: Places) -> Image:
    """busybox and the C library of the oldest Debian that mirrors still carry, as hack/images unpacked them."""
    if places.old is None:
        sys.exit("images: the old Debian's packages are not unpacked: call hack/images")
    folder = places.old / "lib" / TRIPLE
    tree = base()
    tree.program("bin/busybox", places.old / "bin/busybox")
    for name in ("libc.so.6", *C_LIBRARY_PARTS):
        tree.program(f"lib/{TRIPLE}/{name}", folder / name)
    [loader] = folder.glob("ld-linux-*.so.*")
    tree.program(interpreter_of(places.old / "bin/busybox"), loader)
    return Image("modelcache/reader:old-glibc", [tree], ["/bin/busybox"], {})


def interpreter_of(program: pathlib.Path) -> str:
    """The loader's path as the program's header names it."""
    listing = subprocess.run(["readelf", "-lW", program], check=True, text=True, capture_output=True).stdout
    for line in listing.splitlines():
        if "program interpreter:" in line:
            return line.split(":", 1)[1].strip(" ]")
    sys.exit(f"images: {program} names no program interpreter")


# What `docker inspect` and registries show of each image. Those for tests alone have a title.
DESCRIPTIONS = {
    "operator": "Operator of ModelCache: schedules copies of models and gives pods their volume",
    "agent": "Agent of ModelCache, which fills a node's cache from stores and peers; also the image of warm-up Jobs",
    "devstore": "Store emulator of ModelCache, for testbeds",
    "llama.cpp": "llama.cpp as Debian builds it",
}


def labels(name: str, reference: str) -> dict[str, str]:
    """The labels of the OCI image specification's annotations that are known when an image is built; a test compares the Containerfiles'."""
    prefix = "org.opencontainers.image"
    told = {f"{prefix}.title": reference.split(":")[0]}
    if name in DESCRIPTIONS:
        told[f"{prefix}.description"] = DESCRIPTIONS[name]
        told[f"{prefix}.licenses"] = "MIT" if name == "llama.cpp" else "Apache-2.0"
    if name in DESCRIPTIONS and name != "llama.cpp":
        told[f"{prefix}.version"] = f"v{version()}"
    return told


RECIPES: dict[str, Callable[[Places], Image]] = {
    "operator": operator,
    "agent": agent,
    "llama.cpp": llama,
    "devstore": devstore,
    "reader-musl": lambda places: reader(places, "musl"),
    "reader-old-glibc": old_glibc,
    "reader-static": lambda places: reader(places, "static"),
}
