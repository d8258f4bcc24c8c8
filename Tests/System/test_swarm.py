"""Real agents in network namespaces load one model together: right bytes everywhere, the store read once, secrets kept."""
import re
import subprocess
import time

from support.authority import Authority
from support.processes import wait_until
from support.swarm import PORT, SECRET, URGENT_CLASS


def test_nodes_that_start_together_read_the_store_once(swarm):
    world = swarm(3, "20MB")
    nodes = [world.node(i) for i in range(3)]
    for node in nodes:
        node.load(world.environment)
    world.check(*nodes)
    ratio = world.origin(*nodes) / world.model.bytes
    assert ratio <= 1.15, f"{ratio:.3f} of the model came from the store"
    for node in nodes:
        status = node.model
        assert status["peerBytes"] > 0 and status["wrongPeerBlocks"] == 0, status
        assert 0 < status["controlBytes"] < 0.05 * status["peerBytes"], status
    assert sum(n.model["servedBytes"] for n in nodes) >= world.model.bytes


def test_messages_and_requests_are_marked_urgent_on_the_wire_and_the_models_bytes_are_not(swarm):
    world = swarm(2, "2MB")
    for i in range(2):
        world.network.shape(i, 50)
    nodes = world.start(0, 1)

    def marks(local_is_server: bool) -> list[str]:
        """Of connections between the nodes, seen from the end that listens or from the other."""
        side = "sport" if local_is_server else "dport"
        lines = [line for i in range(2) for line in subprocess.run(
            [*world.network.inside(i), "ss", "-tnH", "--tos", "state", "established", side, "=", f":{PORT}"],
            check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()]
        return [(re.search(r"tos:(0x[0-9a-f]+)", line) or [None, "0"])[1] for line in lines]

    # From the end that dialled: messages and requests. From the other: messages, and blocks.
    urgent = f"{URGENT_CLASS:#x}"
    wait_until(lambda: set(marks(False)) == {urgent}, 120, "all that was dialled is marked")
    wait_until(lambda: urgent in marks(True) and set(marks(True)) != {urgent}, 120, "messages of who listens are marked, blocks are not")
    world.store.faults()
    world.check(*nodes)
    for i in range(2):
        urgent_bytes, others = world.network.received(i)
        assert others >= world.model.bytes and 0 < urgent_bytes < 0.1 * others, (urgent_bytes, others)


def test_each_block_comes_into_a_zone_about_once(swarm):
    world = swarm(6, "8MB")
    zones = ["rack-a", "rack-b"] * 3
    nodes = [world.node(i, MODELCACHE_ZONE=zone) for i, zone in enumerate(zones)]
    for node in nodes:
        node.load(world.environment)
    world.check(*nodes)
    zone_of = {node.address: zone for node, zone in zip(nodes, zones)}
    received = {True: 0, False: 0}
    for node in nodes:
        for peer in world.view(node)["peers"]:
            received[zone_of[peer["address"].split(":")[0]] == zone_of[node.address]] += peer["receivedBytes"]
    # The store gives a block to one zone; the other takes it from there. All six alike it would be three models.
    assert received[False] <= 1.4 * world.model.bytes, received
    assert received[True] >= 3.2 * world.model.bytes, received
    assert world.ratio(*nodes) <= 1.15


def test_who_comes_late_reads_nothing_from_the_store_even_after_the_holder_was_restarted(swarm):
    world = swarm(3)
    seeder = world.node(0)
    seeder.load(world.environment)
    world.check(seeder)
    late = world.node(1)
    late.load(world.environment)
    world.check(late)
    assert late.model["originBytes"] == 0, late.output()
    # What a restarted agent finds it serves without being asked to open it.
    late.kill()
    seeder.agent.stop()
    seeder.start()
    wait_until(lambda: world.offers_all(seeder), 120, "the restarted node offers the model")
    last = world.node(2)
    last.load(world.environment)
    world.check(last)
    assert last.model["originBytes"] == 0, last.output()


def test_who_lacks_the_secret_learns_nothing(swarm):
    world = swarm(3)
    holder = world.node(0)
    holder.load(world.environment)
    world.check(holder)

    def ask(path: str, *headers: str) -> str:
        out = subprocess.run(
            [*world.network.inside(1), "curl", "-s", "-i", *(x for h in headers for x in ("-H", h)), f"http://{holder.address}:{PORT}{path}"],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        return out

    for path in ("/", "/swarm/v1/models", "/swarm/v1/models/" + "0" * 32 + "/map", "/swarm/v1/models/" + "0" * 32 + "/files/0"):
        answer = ask(path, "Authorization: Bearer 1.00000000000000000000000000000000")
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        assert head.splitlines()[0].split()[1] == "404" and body == "", answer
        assert "modelcache" not in head.lower(), answer

    other = world.work / "other-secret"
    other.write_text("another-secret-0123456789abcdef\n")
    stranger = world.node(1, secret=other)
    stranger.load(world.environment)
    world.check(stranger)
    status = stranger.model
    assert status["peerBytes"] == 0 and status["originBytes"] >= world.model.bytes
    assert holder.model["servedBytes"] == 0


def test_a_secret_is_rotated_in_the_middle_of_a_load(swarm):
    world = swarm(2, "8MB")
    secrets = []
    nodes = []
    for i in range(2):
        secret = world.work / f"secret-{i}"
        secret.write_text(SECRET + "\n")
        secrets.append(secret)
        nodes.append(world.node(i, secret=secret))
        nodes[-1].load(world.environment)
    wait_until(lambda: world.present(nodes[0]) > 0.2, 60, "a part is there")
    new = "the-next-secret-0123456789abcdef"
    # First one node knows both, then both, then the old one goes.
    for text, which in ((f"{new}\n{SECRET}\n", 0), (f"{new}\n{SECRET}\n", 1), (f"{new}\n", 0), (f"{new}\n", 1)):
        secrets[which].write_text(text)
        time.sleep(0.3)
    world.check(*nodes)
    ratio = world.origin(*nodes) / world.model.bytes
    assert ratio <= 1.2, f"{ratio:.3f} of the model came from the store"


def test_nodes_with_certificates_speak_tls_and_trust_their_authority_alone(swarm):
    world = swarm(3, "20MB")
    ours, other = Authority(world.work / "ours"), Authority(world.work / "other")
    nodes = [world.node(i, **ours.settings(f"node-{i}")) for i in range(2)]
    for node in nodes:
        node.load(world.environment)
    world.check(*nodes)
    assert world.ratio(*nodes) <= 1.2 and all(node.model["peerBytes"] > 0 for node in nodes)

    def status(*arguments: object) -> tuple[int, str]:
        done = subprocess.run([*world.network.inside(2), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *map(str, arguments)],
                              check=False, text=True, stdout=subprocess.PIPE)
        return done.returncode, done.stdout

    address = f"{nodes[0].address}:{PORT}/swarm/v1/models"
    assert status(f"http://{address}")[1] == "000", "nothing is said in the clear"
    assert status("--insecure", f"https://{address}") == (0, "404")
    assert status("--cacert", other.path, f"https://{address}")[0] in (35, 60), "signed by somebody else: CURLE_SSL_CONNECT_ERROR or CURLE_PEER_FAILED_VERIFICATION"

    # Knows the secret, but trusts another authority: it neither hears of a block nor sends one, and reads the store by itself.
    stranger = world.node(2, **other.settings("node-2"))
    stranger.load(world.environment)
    world.check(stranger)
    assert stranger.model["peerBytes"] == 0 and stranger.model["originBytes"] >= world.model.bytes
