"""hack/soak: hours of faults and changes on a Kubernetes of its own, under steady requests, and whether each promise was kept."""
import contextlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

_HACK = pathlib.Path(__file__).resolve().parents[2]
for _folder in (_HACK / "bench.d", _HACK / "lib/demo", _HACK / "lib"):
    sys.path.insert(0, str(_folder))

from soak import options as command_line  # noqa: E402

# Before what needs the programs: a wrong flag is told at once.
OPTIONS = command_line.parse() if __name__ == "__main__" else None

from drawing import Interrupts  # noqa: E402
from plot import panels as draw  # noqa: E402
from testbed import REPOSITORY, Testbed, paths, wait_until  # noqa: E402

from soak import mounts, objects, report  # noqa: E402
from soak.judged import explains_request  # noqa: E402
from soak.lanes import Lane, Record  # noqa: E402
from soak.patient import PatientCluster  # noqa: E402
from soak.sampler import Sampler  # noqa: E402
from soak.schedule import schedule  # noqa: E402
from soak.steady import SteadyRequests  # noqa: E402
from soak.timeline import Timeline, clock  # noqa: E402
from soak.verdicts import Recorded, Verdict, judge  # noqa: E402
from soak.world import NODES, World  # noqa: E402

# Seconds between two lines of progress; within which what is deleted has to be gone.
PROGRESS, GONE = 30.0, 240.0


def bucket_below(folder: pathlib.Path) -> pathlib.Path:
    """A bucket with the real model, without its bytes a second time where the file system allows that; the soak adds objects."""
    bucket = folder / "bucket"
    (bucket / "gemma").mkdir(parents=True)
    try:
        os.link(paths.gemma(), bucket / "gemma" / paths.gemma().name)
    except OSError:
        subprocess.run(["cp", "--reflink=auto", paths.gemma(), bucket / "gemma"], check=True)
    return bucket


def progress(timeline: Timeline, record: Record, requests: SteadyRequests, sampler: Sampler, seconds: float) -> None:
    """One line: the time, the requests so far, what lasts, the agents' memory."""
    some, happened = requests.requests, record.happened
    failed = [one for one in some if one.failure]
    unexplained = sum(1 for one in failed if not explains_request(one, happened))
    last = sampler.looks[-1][1] if sampler.looks else []
    agents = "+".join(f"{one.memory / 1e6:.0f}" for one in sorted(last, key=lambda one: one.node) if one.program == "agent")
    print(f"soak: {clock(timeline.now)} of {clock(seconds)}: {len(some)} requests, {sum(1 for one in some if one.wrong)} wrong, {len(failed)} failed "
          f"({unexplained} unexplained); agents {agents or '-'} MB; now: {', '.join(str(one) for one in happened if one.ended is None) or 'quiet'}",
          file=sys.stderr, flush=True)


def counts(world: World) -> dict[str, int]:
    """What is there when all is quiet: objects, and the mounts of nodes."""
    return objects.counted(world.objects(",".join(objects.KINDS))) | mounts.of_nodes(world.cluster.state, NODES)


def settled(world: World, before: dict[str, int]) -> dict[str, int]:
    """The counts once nothing is more than before; as they are after some minutes, where something is."""
    last: dict[str, int] = {}

    def same() -> bool:
        last.clear()
        last.update(counts(world))
        return not objects.differences(before, last)
    with contextlib.suppress(AssertionError):
        wait_until(same, "what was made is gone", GONE, every=5)
    return last


def soak(world: World, timeline: Timeline, options, folder: pathlib.Path) -> tuple[Recorded, Verdict]:
    timeline.say("the completion over plain files")
    expected = world.expected(folder)
    timeline.say("operator, agents, a ModelCache, three llama-servers")
    world.prepare()
    before = counts(world)
    address = world.address()
    record, sampler = Record(), Sampler(world)
    timeline.restart()
    timeline.say(f"begins, seed {options.seed}; the completion is {expected!r}")
    with SteadyRequests(address, expected, options.requests, timeline.began) as requests:
        sampler.start()
        # Each lane draws numbers of its own, so that the speed of one changes nothing in the other.
        lanes = [Lane(name, schedule(kinds, NODES, options.seed + offset), world, record, options.seconds, recovers)
                 for name, kinds, offset, recovers in (("faults", options.faults, 0, True), ("changes", options.changes, 1, False)) if kinds]
        try:
            for lane in lanes:
                lane.start()
            while timeline.now < options.seconds or any(lane.is_alive() for lane in lanes):
                time.sleep(min(PROGRESS, max(1.0, options.seconds - timeline.now)))
                progress(timeline, record, requests, sampler, options.seconds)
        except BaseException:
            # A fault that lasts gets its end before the cluster goes, or is left up.
            world.ended.set()
            for lane in lanes:
                lane.join(15)
            raise
        timeline.say("no more faults: everything settles")
        with contextlib.suppress(AssertionError):
            world.wait_well()
        after = settled(world, before)
        requests.finish()
        sampler.stop()
    recorded = Recorded(timeline.now, requests.requests, record.happened, record.broken, sampler.looks, sampler.mounts, sampler.objects,
                        before, after, timeline.lines)
    return recorded, judge(recorded)


def facts_of(options) -> dict[str, object]:
    commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short=7", "HEAD"], check=False, text=True, stdout=subprocess.PIPE).stdout.strip()
    return {"seed": options.seed, "length asked for": clock(options.seconds), "commit": commit, "link of a node": f"{options.rate} Mbit/s",
            "requests a second": options.requests, "machine": f"{os.cpu_count()} processors, kernel {platform.release()}",
            "faults": ", ".join(one.name for one in [*options.faults, *options.changes])}


def main(options) -> int:
    interrupts, timeline = Interrupts(), Timeline()
    world = None
    try:
        with tempfile.TemporaryDirectory(prefix="modelcache-soak-bucket-", dir=command_line.CACHE) as name:
            folder = pathlib.Path(name)
            bucket = bucket_below(folder)
            with Testbed("soak", nodes=len(NODES), rate_mbit=options.rate, keep=options.keep, held=interrupts.held, kind=PatientCluster, bucket=bucket) as testbed:
                world = World(testbed, timeline, bucket)
                try:
                    recorded, verdict = soak(world, timeline, options, folder)
                finally:
                    # Lanes and samplers see that it is over before the cluster goes down.
                    world.ended.set()
    except BaseException:
        if not interrupts.heard:
            raise
        print("soak: interrupted; nothing is left" if not options.keep else "soak: interrupted", file=sys.stderr)
        return 130
    written = report.write(options.report, options.json, recorded, verdict, facts_of(options), draw)
    print("\n".join(["", report.promises(verdict), "", report.requests(recorded, verdict), "", report.faults(recorded, verdict), "", report.growths(verdict.growths)]))
    if not verdict.kept:
        print("\n" + report.breaches(recorded, verdict))
    print(f"\nsoak: {'all promises kept' if verdict.kept else 'promises broken'}; seed {options.seed}; {written}")
    return 0 if verdict.kept else 1


if __name__ == "__main__":
    sys.exit(main(OPTIONS))
