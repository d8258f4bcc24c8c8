"""The command line."""
import argparse
import os
import pathlib
import random

from soak.faults import CHANGES, EVERY, FAULTS

CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """With `seconds`, `faults` and `changes` beside what was given."""
    parser = argparse.ArgumentParser(prog="hack/soak", add_help=False)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--fault", action="append", choices=[one.name for one in EVERY], metavar="NAME")
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--requests", type=float, default=2.0)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    if options.hours is None and options.minutes is None:
        options.hours = 2.0
    options.seconds = (options.hours or 0) * 3600 + (options.minutes or 0) * 60
    if options.seconds <= 0 or options.requests <= 0 or options.rate <= 0:
        parser.error("--hours, --minutes, --rate and --requests take numbers above 0")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    wanted = set(options.fault or [one.name for one in EVERY])
    options.faults = [one for one in FAULTS if one.name in wanted]
    options.changes = [one for one in CHANGES if one.name in wanted]
    options.report = options.report or CACHE / "soak" / str(options.seed)
    return options


def listed() -> str:
    """Each fault and change, with what it explains."""
    lines = []
    for title, some in (("faults, one after the other", FAULTS), ("changes, beside them", CHANGES)):
        lines.append(f"{title}:")
        for one in some:
            explains = [*(f"failed requests ({kind})" for kind in sorted(one.explains.failures)), *(f"ended processes ({program})" for program in sorted(one.explains.ends))]
            lasts = f", for {one.hold[0]:g} to {one.hold[1]:g} s" if one.hold[1] else ""
            lines.append(f"  {one.name}{lasts}; explains " + (f"{', '.join(explains)} until {one.explains.after:g} s after it" if explains else "nothing"))
    return "\n".join(lines)
