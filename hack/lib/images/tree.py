"""A file tree that becomes one layer of an image: what is in it follows from its entries alone.

Two trees with the same entries give the same bytes on every machine: names are sorted, every time is 0,
everything belongs to root, and a file's bytes are read where it lies. Modes are given, never copied.
"""
import hashlib
import io
import os
import pathlib
import posixpath
import tarfile
from typing import BinaryIO, NamedTuple


class Entry(NamedTuple):
    """One name: a folder (no source), a symbolic link (source is its target) or a file."""

    kind: bytes
    mode: int
    source: pathlib.Path | bytes | str | None


class Tree:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._add(path, Entry(tarfile.DIRTYPE, mode, None))

    def file(self, path: str, source: pathlib.Path | bytes, mode: int = 0o644) -> None:
        """A file with the bytes of `source`; a path is followed through symbolic links."""
        self._add(path, Entry(tarfile.REGTYPE, mode, source))

    def program(self, path: str, source: pathlib.Path) -> None:
        self.file(path, source, 0o755)

    def link(self, path: str, target: str) -> None:
        self._add(path, Entry(tarfile.SYMTYPE, 0o777, target))

    def _add(self, path: str, entry: Entry) -> None:
        name = posixpath.normpath(path.lstrip("/"))
        if name.startswith(".."):
            raise ValueError(f"{path} leaves the tree")
        parent = posixpath.dirname(name)
        # The folders above are made with the usual mode, unless someone gave them another.
        if parent and parent not in self.entries:
            self.folder(parent)
        self.entries[name] = entry

    def digest(self) -> str:
        """SHA-256 over names, modes and contents: the same tree, the same digest."""
        total = hashlib.sha256()
        for name, entry in sorted(self.entries.items()):
            if entry.kind == tarfile.REGTYPE:
                with _open(entry) as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
            else:
                content = str(entry.source or "")
            total.update(f"{name}\0{entry.kind.decode()}\0{entry.mode:o}\0{content}\n".encode())
        return total.hexdigest()

    def write_tar(self, output: BinaryIO) -> None:
        """The layer: an uncompressed tar, as an image's `diff_ids` count it."""
        with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, entry in sorted(self.entries.items()):
                add(tar, name, entry)

    def write_folder(self, folder: pathlib.Path) -> None:
        """The same below a folder of this machine, for a Containerfile's COPY."""
        for name, entry in sorted(self.entries.items()):
            path = folder / name
            if entry.kind == tarfile.DIRTYPE:
                path.mkdir(parents=True, exist_ok=True)
            elif entry.kind == tarfile.SYMTYPE:
                path.unlink(missing_ok=True)
                path.symlink_to(str(entry.source))
                continue
            else:
                with _open(entry) as stream:
                    path.write_bytes(stream.read())
            path.chmod(entry.mode)


def _open(entry: Entry) -> BinaryIO:
    if isinstance(entry.source, bytes):
        return io.BytesIO(entry.source)
    return open(os.fspath(entry.source), "rb")


def add(tar: tarfile.TarFile, name: str, entry: Entry) -> None:
    """Writes one entry with everything that differs between machines and days left out."""
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.mtime = entry.kind, entry.mode, 0
    header.uid = header.gid = 0
    header.uname = header.gname = ""
    if entry.kind == tarfile.SYMTYPE:
        header.linkname = str(entry.source)
    if entry.kind != tarfile.REGTYPE:
        tar.addfile(header)
        return
    with _open(entry) as stream:
        header.size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        tar.addfile(header, stream)
