"""A bench's figures: each beside its limit, on the terminal and, for `hack/bench --record`, in a file."""
import json
import os


def verdict(name: str, value: float, limit: float, at_least: bool, compared: bool = True) -> bool:
    """Whether `value` keeps its limit. Not `compared`: the next record does not hold it against this one."""
    good = value >= limit if at_least else value <= limit
    print(f"  {'reached' if good else 'MISSED '}  {name}: {value:.3f} ({'at least' if at_least else 'at most'} {limit:g})", flush=True)
    file = os.environ.get("MODELCACHE_BENCH_FIGURES")
    if file and compared:
        with open(file, "a") as out:
            out.write(json.dumps({"name": name, "value": value, "limit": limit, "better": "higher" if at_least else "lower"}) + "\n")
    return good
