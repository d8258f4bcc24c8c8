"""A pod's view of a ModelCache's volume: under another path, read-only, as another user and without privileges."""
import pathlib
import shutil
import tempfile

from . import paths

# The user of a warm-up Job's container.
NOBODY = 65532
# The interpreter that runs the tests may lie where only their own user may go.
SYSTEM_PYTHON = "/usr/bin/python3"


def volume(place, uid) -> pathlib.Path:
    return place.root / "caches" / uid


def kept_definition(place, uid) -> pathlib.Path:
    """What a restarted agent takes the cache up by; outside the volume."""
    return place.root / "definitions" / f"{uid}.json"


def mounts_below(folder) -> list[str]:
    with open("/proc/self/mountinfo") as lines:
        return [line.split()[4] for line in lines if line.split()[4].startswith(str(folder))]


class View:
    """Programs run with `prefix` see the volume at `path`, in a mount namespace of their own and without HOME."""

    def __init__(self, volume: pathlib.Path):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mcv-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.volume, self.path, self.programs = volume, self.folder / "cache", self.folder / "bin"
        self.path.mkdir()
        self.programs.mkdir()
        for program in (paths.MODELCACHE, paths.PRELOAD):
            shutil.copy(program, self.programs)
        self.modelcache, self.preload = self.programs / paths.MODELCACHE.name, self.programs / paths.PRELOAD.name
        self.socket = self.path / ".modelcache/agent.sock"

    @property
    def prefix(self) -> list[str]:
        script = (f"mount --bind {self.volume} {self.path} && mount -o remount,bind,ro {self.path} && "
                  f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs --bounding-set=-all "
                  'env -u HOME ${PRELOADED:+LD_PRELOAD=$PRELOADED} "$@"')
        return ["unshare", "-m", "--propagation", "slave", "bash", "-c", script, "bash"]

    def environment(self, store, model=None, **extra) -> dict[str, str]:
        base = store.environment(model.prefix if model else "", MODELCACHE_SOCKET=self.socket, **extra)
        if model is None:
            del base["OSS_PATH"], base["OSS_ENDPOINT"], base["OSS_REGION"]
        return base

    def preloaded(self, store, model=None, **extra) -> dict[str, str]:
        # Not for the programs that make the view: they come before it.
        return self.environment(store, model, PRELOADED=self.preload, ENABLE_CONNECTOR=1, MODEL_DIR=f"{self.path}/", **extra)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
