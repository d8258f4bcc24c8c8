"""Where the programs, the library, llama.cpp and the models are."""
import functools
import os
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
DIST = pathlib.Path(os.environ.get("MODELCACHE_DIST", REPOSITORY / "dist"))
MODELCACHE = DIST / "bin/modelcache"
DEVSTORE = DIST / "bin/modelcache-devstore"
PRELOAD = DIST / "lib/libossc_preload.so"


@functools.cache
def llama() -> pathlib.Path:
    """The folder of llama.cpp's programs; installed by hack/llama when it is not there."""
    return pathlib.Path(_output(REPOSITORY / "hack/llama")) / "bin"


@functools.cache
def models() -> pathlib.Path:
    """The folder with gemma/ (one file) and shards/ (the same in fifteen)."""
    return pathlib.Path(_output(REPOSITORY / "hack/models"))


@functools.cache
def gemma() -> pathlib.Path:
    return models() / "gemma/gemma-3-270m-q4_k_m.gguf"


def _output(program: pathlib.Path) -> str:
    return subprocess.run([program], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
