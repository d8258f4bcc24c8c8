"""hack/demo: store with signatures, llama-server through the preload over a link of known speed, one question, a
second start, and the numbers."""
import argparse
import contextlib
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import common
from common import MIB, say
from support import paths
from support.agent import Place
from support.link import ShapedLink
from support.llama import Server
from support.store import Store

SERVER = ("-c", "1024")


def arrived(place: Place) -> int:
    """Bytes of the model that are in memory so far: blocks of the sparse files."""
    found = glob.glob(f"{glob.escape(str(place.root))}/models/*/.partial/*")
    total = 0
    for file in found:
        with contextlib.suppress(OSError):
            state = os.stat(file)
            total += min(state.st_blocks * 512, state.st_size)
    return total


def draw(done: int, size: int, seconds: float) -> None:
    share = min(1.0, done / size)
    rate = done / seconds if seconds else 0
    left = f"{(size - done) / rate:4.1f} s left" if rate else ""
    text = f"[{'#' * int(share * 40):<40}] {share:4.0%}  {done / MIB:5.0f} MiB  {rate / 1e6:5.1f} MB/s  {left}"
    if sys.stderr.isatty():
        print(f"\r{text:<100}", end="", file=sys.stderr, flush=True)
    elif int(seconds * 10) % 10 == 0:
        print(text, file=sys.stderr, flush=True)


def start(model: pathlib.Path, environment: dict[str, str], place: Place, size: int, prefix) -> tuple[Server, float]:
    """Starts llama-server and draws what arrives until it is ready."""
    server = Server(model, environment, place.log("llama-server"), *SERVER, prefix=prefix)
    while True:
        try:
            seconds = server.wait_ready(time.monotonic() - server.process.started + 0.1)
            break
        except AssertionError:
            if not server.process.alive() or time.monotonic() - server.process.started > 300:
                server.stop()
                raise
            draw(arrived(place), size, time.monotonic() - server.process.started)
    draw(size, size, seconds)
    print(file=sys.stderr)
    return server, seconds


def ask(server: Server, question: str, prefix) -> tuple[str, float]:
    """The answer, and the seconds until its first token."""
    # A base model: it goes on with the text rather than answer in a chat.
    body = json.dumps({"prompt": question, "n_predict": 24, "temperature": 0, "stream": True})
    began, first, text = time.monotonic(), None, ""
    stream = subprocess.Popen(
        [*prefix, "curl", "-sfN", "-m", "120", "-H", "Content-Type: application/json", "-d", body, f"http://127.0.0.1:{server.port}/completion"],
        text=True, stdout=subprocess.PIPE)
    for line in stream.stdout:
        if line.startswith("data: {"):
            piece = json.loads(line[6:]).get("content")
            if piece:
                first = first if first is not None else time.monotonic() - began
                text += piece
    if stream.wait() or first is None:
        raise SystemExit("demo: llama-server gave no answer")
    return text.strip(), first


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--rate", type=int, default=200, help="Mbit/s of the link")
    parser.add_argument("--question", default="Question: What is the capital of France? Answer:")
    options = parser.parse_args()
    size = paths.gemma().stat().st_size
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcd-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        bucket = work / "bucket"
        (bucket / "gemma").mkdir(parents=True)
        shutil.copyfile(paths.gemma(), bucket / "gemma/gemma.gguf")
        place = Place(work / "p")
        stack.callback(place.close)
        if os.geteuid() == 0:
            link = stack.enter_context(ShapedLink(options.rate))
            say(f"a link of {options.rate} Mbit/s between two network namespaces")
            here, bytes_per_second = link.on_client, link.bytes_per_second
            store = Store({"models": bucket}, place.log("store"), address=link.store_address, prefix=link.on_store)
        else:
            say(f"not root: the store itself sends {options.rate} Mbit/s")
            here, bytes_per_second = [], options.rate * 1e6 / 8
            store = Store({"models": bucket}, place.log("store"))
            store.faults(bandwidth=bytes_per_second)
        stack.callback(store.stop)
        wire = size / bytes_per_second
        model = work / "model"
        environment = place.preloaded(store.environment("gemma/"), model)
        say(f"the store serves {size / 1e6:.0f} MB with signatures on; the wire needs {wire:.1f} s for it")
        print("\n  OSS_ENDPOINT=... OSS_PATH=oss://models/gemma/ MODEL_DIR=... \\\n"
              "  LD_PRELOAD=dist/lib/libossc_preload.so ENABLE_CONNECTOR=1 llama-server -m $MODEL_DIR/gemma.gguf\n", file=sys.stderr)
        server, cold = start(model / "gemma.gguf", environment, place, size, here)
        try:
            answer, first_token = ask(server, options.question, here)
            print(f"\n  > {options.question}\n  {answer}\n", file=sys.stderr)
            say("a second server on the same machine")
            second, warm = start(model / "gemma.gguf", environment, place, size, here)
            second.stop()
        finally:
            server.stop()
    common.table("an unmodified llama-server, its model in an object store", ["", ""], [
        ["model", f"{size} bytes"], ["wire limit", f"{wire:.2f} s"], ["first start, until ready", f"{cold:.2f} s"],
        ["of the wire limit", f"{cold / wire:.3f}x"], ["first token after the question", f"{first_token:.2f} s"],
        ["second start, until ready", f"{warm:.2f} s"]])
    common.record("demo", {"bytes": size, "wire": wire, "cold": cold, "firstToken": first_token, "warm": warm})
    return 0


if __name__ == "__main__":
    sys.exit(main())
