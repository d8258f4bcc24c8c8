"""Archives of programs: tar files with gzip whose bytes follow from their contents and the release's date alone."""
import gzip
import io
import pathlib
import tarfile
from typing import NamedTuple


class Member(NamedTuple):
    source: pathlib.Path | bytes
    mode: int = 0o644

    def content(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def write(path: pathlib.Path, members: dict[str, Member], date: int) -> None:
    """`members` by their names in the archive; folders are implied. `date` in seconds since 1970."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=date) as zipped, \
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, member in sorted(members.items()):
            content = member.content()
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = len(content), member.mode, date
            tar.addfile(header, io.BytesIO(content))


def repacked(path: pathlib.Path) -> dict[str, Member]:
    """The members of another's archive. `helm package` writes the time of its run beside each."""
    with tarfile.open(path) as tar:
        return {entry.name: Member(tar.extractfile(entry).read()) for entry in tar if entry.isfile()}
