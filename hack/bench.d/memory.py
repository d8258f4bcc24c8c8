"""hack/bench memory: the agent's own memory (RssAnon, without the cache's pages) while it fills, beside its stated
budget of bytes in flight."""
import argparse
import sys
import threading
import time

import common
from common import GIB, MIB, say
from support.processes import resident_anonymous_bytes


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench memory")
    parser.add_argument("--bytes", type=int, default=2 * GIB)
    parser.add_argument("--in-flight", type=int, default=256, help="MiB")
    options = parser.parse_args()
    with common.one_file_rig(options.bytes, MODELCACHE_IN_FLIGHT=f"{options.in_flight}MiB") as (_, place, store, agent):
        peak, ended = agent.resident_anonymous_bytes(), threading.Event()
        idle = peak

        def watch() -> None:
            nonlocal peak
            while not ended.is_set():
                peak = max(peak, resident_anonymous_bytes(agent.pid))
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        say("filling")
        try:
            warm = place.modelcache("warm", "--json", environment=store.environment(), seconds=300)
        finally:
            ended.set()
            watcher.join()
        if warm.returncode:
            raise SystemExit(f"bench: warm failed: {warm.stderr.decode()[-1000:]}")
    common.table("memory of the agent beside the cache", ["", "MiB"], [
        ["idle", f"{idle / MIB:.0f}"], ["peak while filling", f"{peak / MIB:.0f}"], ["in-flight budget", str(options.in_flight)]])
    common.record("memory", {"idle": idle, "peak": peak, "inFlight": options.in_flight * MIB, "bytes": options.bytes})
    return 0 if common.verdict("peak MiB", peak / MIB, options.in_flight + 100, at_least=False) else 1


if __name__ == "__main__":
    sys.exit(main())
