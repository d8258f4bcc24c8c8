"""hack/bench first-token: when llama-server says its first token, beside the wire time of the whole model.

A mixture-of-experts model with random weights arrives over a shaped link. llama-server --no-warmup touches only the experts that
its tokens choose. All times count from the start of llama-server and are told as parts of the wire time, size over the link's rate.

  moe      prompts of 1, 10 and 500 tokens: /health ok, the first token, eight further tokens, the whole model
  dense    a dense model with warm-up: /health ok; beside it a second file that nobody opens
"""
import argparse
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import common
import synthetic
from common import MIB, say
from support.agent import Agent, Place
from support.link import ShapedLink, tcp_bytes_per_second
from support.llama import Server
from support.processes import clean_environment, wait_until
from support.store import Store

TOKENS = 9
SERVER = ("-c", "1024", "-np", "1")
# Most of the wire time until /health says ok and until the first token, by the prompt's tokens.
GOALS = {1: (0.10, 0.15), 10: (None, 0.35), 500: (None, 1.02)}


def prompt(count: int, vocabulary: int) -> list[int]:
    return [1, *random.Random(count).sample(range(300, vocabulary), count - 1)]


def generate(server: Server, tokens: list[int], prefix: list[str]) -> tuple[list[int], list[float]]:
    """Greedy tokens, and when each came."""
    body = {"prompt": tokens, "n_predict": TOKENS, "temperature": 0, "ignore_eos": True, "stream": True, "return_tokens": True, "cache_prompt": False}
    said: list[int] = []
    times: list[float] = []
    # In another network namespace its loopback is not ours: curl goes there.
    with subprocess.Popen([*prefix, "curl", "-sfN", "-m", "600", "-H", "Content-Type: application/json", "-d", "@-",
                           f"http://127.0.0.1:{server.port}/completion"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
        curl.stdin.write(json.dumps(body).encode())
        curl.stdin.close()
        for line in curl.stdout:
            if line.startswith(b"data: "):
                part = json.loads(line[6:])
                said += part.get("tokens", [])
                times += [time.monotonic()] * len(part.get("tokens", []))
    assert len(said) == TOKENS, f"llama-server said {len(said)} tokens"
    return said, times


def load(model: pathlib.Path, environment: dict[str, str], place: Place, tokens: list[int], *arguments: str, published: pathlib.Path | None = None,
         prefix: list[str] | None = None) -> dict:
    """One start of llama-server. `published`: the name that the whole model gets."""
    server = Server(model, environment, place.log("llama-server"), *SERVER, *arguments, prefix=prefix or ())
    start = server.process.started
    whole: list[float] = []

    def watch() -> None:
        wait_until(lambda: published.exists(), 600, "the whole model")
        whole.append(time.monotonic() - start)
    watcher = threading.Thread(target=watch, daemon=True)
    if published:
        watcher.start()
    try:
        health = server.wait_ready(600)
        said, times = generate(server, tokens, prefix or [])
        if published:
            watcher.join(600)
        return {"health": health, "first": times[0] - start, "last": times[-1] - start, "whole": whole[0] if whole else None, "tokens": said}
    finally:
        server.stop()


def streamed(work: pathlib.Path, name: str, bucket: pathlib.Path, folder: str, rate: int, tokens: list[int], *arguments: str,
             keep: str | None = None) -> dict:
    """Store, agent and cache all new. `keep`: a file for the store's access log."""
    with contextlib.ExitStack() as stack:
        place = Place(work / name)
        stack.callback(place.close)
        log = place.folder / "access.log"
        link = stack.enter_context(ShapedLink(rate))
        store = Store({"models": bucket}, place.log("store"), address=link.store_address, options=("--lazy-digests", "--access-log", str(log)),
                      prefix=link.on_store)
        stack.callback(store.stop)
        stack.callback(Agent(place, prefix=link.on_client).ready().stop)
        model = work / f"{name}-model"
        result = load(model / "model.gguf", place.preloaded(store.environment(f"{folder}/"), model), place, tokens, *arguments,
                      published=model / "model.gguf", prefix=link.on_client)
        if keep:
            pathlib.Path(keep).write_bytes(log.read_bytes())
        return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench first-token")
    parser.add_argument("--rate", type=int, default=400, help="Mbit/s of the link")
    parser.add_argument("--layers", type=int, default=2, help="of 64 experts with slices of 4 MiB: 0.8 GB each; 4 make 3.3 GB")
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--dense-layers", type=int, default=12, help="of 36 MiB each; 0: no dense model")
    parser.add_argument("--prompts", default="1,10,500", help="tokens of each prompt")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--access-log", help="a folder for the store's access logs")
    options = parser.parse_args()
    rate = tcp_bytes_per_second(options.rate)
    moe = synthetic.Shape(layers=options.layers, experts=options.experts)
    dense = synthetic.Shape(layers=options.dense_layers, feed_forward=4096, heads=16)
    rows, results, good = [], {}, []
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        bucket = work / "bucket"
        for folder in ("moe", "dense", "beside"):
            (bucket / folder).mkdir(parents=True)
        outside = Place(work / "o")
        plain = clean_environment()

        def measure(name: str, folder: str, tokens: list[int], *arguments: str) -> dict:
            size = (bucket / folder / "model.gguf").stat().st_size
            wire = size / rate
            disk = load(bucket / folder / "model.gguf", plain, outside, tokens, *arguments)
            runs = []
            for turn in range(options.runs):
                keep = f"{options.access_log}/{name}-{turn}.log" if options.access_log else None
                runs.append(streamed(work, f"{name}{turn}", bucket, folder, options.rate, tokens, *arguments, keep=keep))
                assert runs[-1]["tokens"] == disk["tokens"], f"{name}: other tokens than from disk: {runs[-1]['tokens']} {disk['tokens']}"
            found = {key: common.median([run[key] for run in runs]) / wire for key in ("health", "first", "last", "whole")}
            rows.append([name, f"{wire:.1f}", *(f"{found[key]:.3f}" for key in ("health", "first", "last", "whole")), f"{disk['first']:.2f}"])
            say(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
            results[name] = {"bytes": size, "wire": wire, "runs": runs, "disk": disk, "ofWire": found}
            return found

        if options.prompts:
            say(f"writing the mixture of experts: {synthetic.write(bucket / 'moe/model.gguf', moe) / 1e9:.2f} GB")
            for count in map(int, options.prompts.split(",")):
                found = measure(f"moe-{count}", "moe", prompt(count, moe.vocabulary), "--no-warmup")
                health, first = GOALS.get(count, (None, None))
                if health:
                    good.append(common.verdict(f"prompt of {count}: /health, of the wire", found["health"], health, False))
                if first:
                    good.append(common.verdict(f"prompt of {count}: first token, of the wire", found["first"], first, False))
                # Each token chooses experts of its own: of random weights others than those before.
                chosen = min(1, (TOKENS - 1) * moe.experts_used / moe.experts)
                good.append(common.verdict(f"prompt of {count}: eight further tokens, of the wire", found["last"] - found["first"], 0.10 + chosen, False))
                good.append(common.verdict(f"prompt of {count}: whole model, of the wire", found["whole"], 1.03, False))
            (bucket / "moe/model.gguf").unlink()
        if options.dense_layers:
            size = synthetic.write(bucket / "dense/model.gguf", dense)
            say(f"dense model: {size / 1e9:.2f} GB")
            good.append(common.verdict("dense: /health, of the wire", measure("dense", "dense", prompt(10, 4096))["health"], 1.02, False))
            (bucket / "beside/model.gguf").hardlink_to(bucket / "dense/model.gguf")
            common.random_file(bucket / "beside/another.bin", size // 4 // MIB * MIB)
            good.append(common.verdict("dense beside a file that nobody opens: /health", measure("beside", "beside", prompt(10, 4096))["health"], 1.02, False))
    common.table(f"llama-server, parts of the wire time at {options.rate} Mbit/s", ["", "wire s", "/health", "first token", "ninth token", "whole", "disk s"], rows)
    common.record("first-token", {"options": vars(options), "results": results})
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
