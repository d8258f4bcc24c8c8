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
from common import MIB, REPOSITORY
from support import paths
from support.agent import Place
from support.link import ShapedLink
from support.llama import Server
from support.store import Store

sys.path.insert(0, str(REPOSITORY / "hack/lib/demo"))

from drawing import Interrupts, fitted  # noqa: E402

SERVER = ("-c", "1024")


def say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def arrived(place: Place) -> int:
    """Bytes of the model that are in memory so far: blocks of the sparse files."""
    found = glob.glob(f"{glob.escape(str(place.root))}/models/*/.partial/*")
    total = 0
    for file in found:
        with contextlib.suppress(OSError):
            state = os.stat(file)
            total += min(state.st_blocks * 512, state.st_size)
    return total


def draw(done: int, size: int, seconds: float, progress: list[str]) -> None:
    """In place on a terminal, else a line at each tenth."""
    share = min(1.0, done / size)
    rate = done / seconds if seconds else 0
    left = f"{(size - done) / rate:4.1f} s left" if rate and done < size else ""
    text = f"[{'#' * int(share * 30):<30}] {share:4.0%}  {done / MIB:5.0f} MiB  {rate / 1e6:5.1f} MB/s  {left}"
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{fitted(text)}", end="", file=sys.stderr, flush=True)
    elif (mark := f"{int(share * 10)}") not in progress:
        progress.append(mark)
        print(text, file=sys.stderr, flush=True)


def start(model: pathlib.Path, environment: dict[str, str], place: Place, size: int, prefix, stack, interrupts) -> tuple[Server, float]:
    """Starts llama-server and draws what arrives until it is ready."""
    with interrupts.held():
        server = Server(model, environment, place.log("llama-server"), *SERVER, prefix=prefix)
        stack.callback(server.stop)
    drawn: list[str] = []
    while True:
        try:
            seconds = server.wait_ready(time.monotonic() - server.process.started + 0.1)
            break
        except AssertionError:
            if not server.process.alive() or time.monotonic() - server.process.started > 300:
                raise
            draw(arrived(place), size, time.monotonic() - server.process.started, drawn)
    draw(size, size, seconds, drawn)
    if sys.stderr.isatty():
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
    try:
        for line in stream.stdout:
            if line.startswith("data: {"):
                said = json.loads(line[6:]).get("content")
                if said:
                    first = first if first is not None else time.monotonic() - began
                    text += said
    except KeyboardInterrupt:
        stream.kill()
        raise
    if stream.wait() or first is None:
        raise SystemExit("demo: llama-server gave no answer")
    return text.strip(), first


def run(options: argparse.Namespace, stack: contextlib.ExitStack, interrupts: Interrupts) -> int:
    size = paths.gemma().stat().st_size
    with interrupts.held():
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"mcd-{os.getpid()}-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        place = Place(work / "p")
        stack.callback(place.close)
    bucket = work / "bucket"
    (bucket / "gemma").mkdir(parents=True)
    shutil.copyfile(paths.gemma(), bucket / "gemma/gemma.gguf")
    here, bytes_per_second, where = [], options.rate * 1e6 / 8, {}
    if os.geteuid() == 0:
        with interrupts.held():
            link = stack.enter_context(ShapedLink(options.rate))
        say(f"a link of {options.rate} Mbit/s between two network namespaces")
        here, bytes_per_second = link.on_client, link.bytes_per_second
        where = {"address": link.store_address, "prefix": link.on_store}
    else:
        say(f"not root: the store itself sends {options.rate} Mbit/s")
    with interrupts.held():
        store = Store({"models": bucket}, place.log("store"), **where)
        stack.callback(store.stop)
    if not where:
        store.faults(bandwidth=bytes_per_second)
    wire = size / bytes_per_second
    model = work / "model"
    environment = place.preloaded(store.environment("gemma/"), model)
    say(f"the store serves {size / 1e6:.0f} MB with signatures on; the wire needs {wire:.1f} s for it")
    print("\n  OSS_ENDPOINT=... OSS_PATH=oss://models/gemma/ MODEL_DIR=... \\\n"
          "  LD_PRELOAD=dist/lib/libossc_preload.so ENABLE_CONNECTOR=1 \\\n"
          "    llama-server -m $MODEL_DIR/gemma.gguf\n", file=sys.stderr)
    server, cold = start(model / "gemma.gguf", environment, place, size, here, stack, interrupts)
    answer, first_token = ask(server, options.question, here)
    print(f"\n  > {options.question}\n  {answer}\n", file=sys.stderr)
    say("a second server on the same machine")
    _, warm = start(model / "gemma.gguf", environment, place, size, here, stack, interrupts)
    common.table("an unmodified llama-server, its model in an object store", ["", ""], [
        ["model", f"{size} bytes"], ["wire limit", f"{wire:.2f} s"], ["first start, until ready", f"{cold:.2f} s"],
        ["of the wire limit", f"{cold / wire:.3f}x"], ["first token after the question", f"{first_token:.2f} s"],
        ["second start, until ready", f"{warm:.2f} s"]])
    if os.access(common.CACHE, os.W_OK):
        common.record("demo", {"bytes": size, "wire": wire, "cold": cold, "firstToken": first_token, "warm": warm})
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--rate", type=int, default=200, help="Mbit/s of the link")
    parser.add_argument("--question", default="Question: What is the capital of France? Answer:")
    options = parser.parse_args()
    interrupts = Interrupts()
    with contextlib.ExitStack() as stack:
        try:
            return run(options, stack, interrupts)
        except BaseException:
            if not interrupts.heard:
                raise
            print(file=sys.stderr)
            say("interrupted; what was started is being taken down")
            return 130
        finally:
            interrupts.stop()


if __name__ == "__main__":
    sys.exit(main())
