"""Fixtures of the system tests: real processes, each test with a root, socket and store of its own.

Binaries come from dist/ (or MODELCACHE_DIST); `hack/build` makes them. Nothing is skipped in silence: what a
test needs and does not find is an error.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import paths  # noqa: E402
from support.agent import Agent, Place  # noqa: E402
from support.llama import Server  # noqa: E402
from support.orders import NODE, SECRET, Orders  # noqa: E402
from support.pod import View  # noqa: E402
from support.processes import wait_until  # noqa: E402
from support.store import Store  # noqa: E402
from support.swarm_world import Swarm  # noqa: E402


def pytest_configure(config):
    # Where the tests run in a shell's background, Ctrl-C's signal is ignored, and every program started here would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def binaries():
    missing = [str(p) for p in (paths.MODELCACHE, paths.DEVSTORE, paths.PRELOAD) if not p.exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(missing)} (run hack/build)", returncode=2)


@pytest.fixture
def work():
    """A short folder in memory: unix socket paths have 107 bytes, and caches want tmpfs."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mct-", dir="/dev/shm"))
    yield folder
    if os.environ.get("MODELCACHE_TESTS_KEEP"):
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(work):
    place = Place(work / "p")
    yield place
    place.close()


@pytest.fixture
def agent(place):
    """agent(*arguments, **settings): starts one that is ready; several may be asked for."""
    started = []

    def start(*arguments, **settings):
        started.append(Agent(place, *arguments, **settings))
        return started[-1].ready()

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def secret_file(place):
    """Holds the secret that orders are signed with."""
    file = place.folder / "secret"
    file.write_text(SECRET + "\n")
    return file


@pytest.fixture
def node(agent, secret_file):
    """node(*arguments, **settings): an agent that takes orders; gives the agent and the one who orders."""
    def start(*arguments, **settings):
        one = agent(*arguments, **{
            "MODELCACHE_AUTH_SECRET_FILE": secret_file, "MODELCACHE_NODE_NAME": NODE, "MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS": 1,
            "MODELCACHE_CREDENTIAL_HOSTS": "*",
            **settings})
        orders = Orders(one.http, SECRET)
        wait_until(orders.answers, 120, "the agent answers over HTTP")
        return one, orders
    return start


@pytest.fixture
def container():
    """container(volume): a pod's view of it."""
    views = []

    def see(volume):
        views.append(View(volume))
        return views[-1]

    yield see
    for view in views:
        view.close()


@pytest.fixture
def bucket(work):
    """An empty bucket's folder, named `models` at the store."""
    folder = work / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def store(bucket, place):
    one = Store({"models": bucket}, place.log("store"), anonymous=())
    yield one
    one.stop()


@pytest.fixture
def gemma(bucket):
    """The real model as one object below gemma/; gives its path on this machine."""
    (bucket / "gemma").mkdir()
    target = bucket / "gemma" / "gemma.gguf"
    shutil.copyfile(paths.gemma(), target)
    return target


@pytest.fixture
def shards(bucket):
    """The real model in fifteen objects below shards/; gives the local folder."""
    target = bucket / "shards"
    shutil.copytree(paths.models() / "shards", target)
    return target


@pytest.fixture
def server(place):
    """server(model, environment, *arguments): llama-server, stopped at the end."""
    started = []

    def start(model, environment, *arguments, prefix=()):
        started.append(Server(model, environment, place.log("llama-server"), *arguments, prefix=prefix))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def swarm(work, bucket):
    """swarm(count, bandwidth): a network with a store that sends so much in all."""
    with contextlib.ExitStack() as stack:
        yield lambda count, bandwidth=None: Swarm(stack, work, bucket, count, bandwidth)
