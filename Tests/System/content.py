"""Bytes that tests make, and how they are told apart: models from a seeded generator, digests, small readers."""
import dataclasses
import hashlib
import os
import pathlib
import random
import sys

MIB = 1 << 20


def digest(path: object) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclasses.dataclass
class Model:
    """Objects below one prefix of a bucket's folder, with the SHA-256 of each, by key below the prefix."""
    prefix: str
    digests: dict[str, str]
    sizes: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def names(self) -> list[str]:
        return sorted(self.digests)

    def assert_whole(self, folder: object) -> None:
        """Every file lies in `folder` by its plain name with the right bytes."""
        for name, expected in self.digests.items():
            path = os.path.join(folder, name)
            assert os.path.getsize(path) == self.sizes[name], f"{name}: wrong size"
            assert digest(path) == expected, f"{name}: wrong bytes"


def make_model(bucket: pathlib.Path, prefix: str, files: dict[str, int], seed: int = 1) -> Model:
    """Writes random files of these sizes in bytes; the same seed gives the same bytes."""
    generator = random.Random(f"{seed}/{prefix}")
    digests = {}
    for name, size in files.items():
        # The generator makes at most 256 MiB at a time.
        content = b"".join(generator.randbytes(min(64 * MIB, size - at)) for at in range(0, size, 64 * MIB))
        path = bucket / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new inode, moved into place: as at a store, a request that is being answered goes on with the old object.
        aside = bucket / ".devstore-new"
        aside.write_bytes(content)
        os.replace(aside, path)
        digests[name] = hashlib.sha256(content).hexdigest()
    return Model(prefix if prefix.endswith("/") else prefix + "/", digests, dict(files))


def one_file(bucket: pathlib.Path, prefix: str = "one/", mebibytes: int = 40, seed: int = 1) -> Model:
    """One object whose size is no multiple of anything."""
    return make_model(bucket, prefix, {"model.gguf": mebibytes * MIB + 12345}, seed)


def fifteen_shards(bucket: pathlib.Path, prefix: str = "deepseek/", seed: int = 1) -> Model:
    """x-00001-of-00015.gguf and its kin, 44 MB together, odd sizes."""
    return make_model(bucket, prefix, {
        f"x-{i:05}-of-00015.gguf": 2_000_000 + 131_073 * i for i in range(1, 16)}, seed)


# Readers, to be run under the preload. Each prints the SHA-256 of what it got.
PYTHON = sys.executable
MAP_ALL = """
import hashlib, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
h = hashlib.sha256()
for at in range(0, len(mapped), 1 << 20): h.update(mapped[at:at + (1 << 20)])
print(h.hexdigest(), flush=True)
"""
# Reads all, says so, and stays with the bytes in use until it is told to end.
READ_AND_STAY = """
import hashlib, sys, time
with open(sys.argv[1], 'rb') as f: data = f.read()
print(hashlib.sha256(data).hexdigest(), flush=True)
time.sleep(600)
"""
MAP_AND_STAY = """
import hashlib, mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
for at in range(0, len(mapped), 4096): mapped[at]
print('touched', flush=True)
end = time.monotonic() + 600
while time.monotonic() < end: mapped[12345]
"""
