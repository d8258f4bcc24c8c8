"""Who may open a ModelCache: the agent verifies ServiceAccount tokens offline, before the first byte and before the store is
asked. And what a pod has: a read-only mount, a token and environment variables, nothing else."""
import hashlib
import json
import os
import subprocess
import time

import pytest

from content import MIB, one_file
from support import paths
from support.orders import definition, new_uid
from support.pod import kept_definition, volume
from support.processes import Running, clean_environment, wait_until
from support.tokens import Key, base64url, callers


@pytest.fixture(scope="module")
def key():
    return Key("key-1")


def token_file(view, token: str | None, name="token"):
    """Where the kubelet would have put it."""
    file = view.programs / name
    if token is None:
        return view.programs / "absent"
    aside = file.with_name("aside")
    aside.write_text(token)
    os.replace(aside, file)
    return file


def refusals(orders) -> dict[str, int]:
    lines = orders.request("GET", "/metrics").body.decode().splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith("modelcache_callers_refused_total{"))
    return {name.split('"')[1]: int(value) for name, value in found if int(value)}


def test_only_a_token_of_the_caches_own_namespace_opens_it(place, node, store, bucket, container, key):
    model = one_file(bucket, mebibytes=4)
    elliptic, forger = Key("key-2", "EC"), Key("key-1")
    _, orders = node(MODELCACHE_KEY_WAIT_SECONDS=1)
    uid = new_uid()
    answer = orders.put(uid, definition(store, model.prefix, model.bytes, callers=callers(key, elliptic)))
    assert answer.status == 200 and answer.json["callersDigest"].startswith("sha256:"), answer
    view = container(volume(place, uid))
    right = key.token()
    parts = right.split(".")
    elsewhere = key.token("other-team").split(".")
    cases = {
        "namespace": [key.token("other-team"), elliptic.token("")], "expired": [key.token(lifetime=-120)], "signature": [
            forger.token(), f"{parts[0]}.{elsewhere[1]}.{parts[2]}"],
        "audience": [key.token(aud=["https://kubernetes.default.svc"])], "issuer": [key.token(iss="https://other-cluster")],
        "not_yet_valid": [key.token(nbf=int(time.time()) + 600)], "unknown_key": [Key("key-9").token()],
        "algorithm": [f"{base64url(json.dumps({'alg': 'HS256', 'kid': 'key-1'}).encode())}.{parts[1]}.{parts[2]}"],
        "malformed": [f"{base64url(json.dumps({'alg': 'none', 'kid': 'key-1'}).encode())}.{parts[1]}.", "garbage"], "absent": [""],
    }
    stranger = Running([paths.MODELCACHE, "status", "--socket", volume(place, uid) / ".modelcache/agent.sock"], place.log("status"),
                       environment=clean_environment())
    assert stranger.wait(120) != 0 and "ServiceAccount token" in stranger.output() and "qwen" not in stranger.output(), stranger.output()
    said = set()
    for check, tokens in cases.items():
        for token in tokens:
            before = refusals(orders).get(check, 0)
            environment = view.environment(store, model, MODELCACHE_TOKEN_FILE=token_file(view, token))
            result = place.run(*view.prefix, view.modelcache, "warm", environment=environment)
            assert result.returncode == 78 and result.stderr.count(b"\n") == 1 and b"team/qwen refuses the caller" in result.stderr, (check, result)
            assert refusals(orders).get(check, 0) == before + 1, (check, refusals(orders), result.stderr)
            assert not token or token.split(".")[-1] == "" or token.split(".")[-1].encode() not in result.stderr
            said.add(result.stderr)
    assert len(said) == len(cases), "each check has its own line"
    reader = place.run(*view.prefix, "sha256sum", view.path / "model.gguf",
                       environment=view.preloaded(store, model, MODELCACHE_TOKEN_FILE=token_file(view, key.token("other-team"))))
    assert reader.returncode == 78 and b"namespace" in reader.stderr, reader
    assert orders.cache(uid)["state"] == "Prepared" and store.requests()["requests"] == 0, "the store was not asked"
    for token in (right, elliptic.token(), right + "\n"):
        result = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store, model, MODELCACHE_TOKEN_FILE=token_file(view, token)))
        assert result.returncode == 0, result
    assert orders.cache(uid)["state"] == "Ready"
    log = "".join(f.read_text() for f in place.folder.glob("*agent.log"))
    assert "refuses the caller" in log
    for token in [right, *(t for tokens in cases.values() for t in tokens if t.count(".") == 2)]:
        assert token.split(".")[1] not in log, "no token in a log"


def test_keys_are_rotated_under_a_reader_and_a_restarted_agent_still_verifies(place, node, store, bucket, container, key):
    model = one_file(bucket)
    # The reader waits for the second half while the keys change.
    store.faults({"match": {"ranged": True, "range": f"{20 * MIB}-"}, "action": {"held": True}})
    first, orders = node(MODELCACHE_KEY_WAIT_SECONDS=1)
    uid = new_uid()
    newer = Key("key-3")
    wanted = definition(store, model.prefix, model.bytes)
    assert orders.put(uid, wanted | {"callers": callers(key)}).status == 200
    view = container(volume(place, uid))
    old = key.token()
    variables = view.preloaded(store, model, MODELCACHE_TOKEN_FILE=token_file(view, old))
    reader = Running(["sha256sum", view.path / "model.gguf"], place.log("reader"), environment=variables, prefix=view.prefix)
    wait_until(lambda: orders.cache(uid)["users"] == 1, 120, "the reader is in")

    def opens(token) -> bool:
        environment = view.environment(store, model, MODELCACHE_TOKEN_FILE=token_file(view, token, "other-token"))
        peek = "import os, socket, struct, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect(os.environ['MODELCACHE_SOCKET'])\n" \
               "body = b''.join(f'{n}={v}'.encode() + b'\\0' for n, v in os.environ.items() if n.startswith('OSS_')) + b'MODELCACHE_TOKEN=' + open(sys.argv[1], 'rb').read() + b'\\0'\n" \
               "s.send(struct.pack('<IHHII', 0x4D434157, 1, 1, len(body), 0) + body)\nprint(struct.unpack_from('<H', s.recv(65536), 6)[0])"
        result = place.run(*view.prefix, "/usr/bin/python3", "-c", peek, environment["MODELCACHE_TOKEN_FILE"], environment=environment)
        assert result.returncode == 0, result
        return result.stdout.strip() == b"64"

    digests = set()
    for policy, accepted in ((callers(key, newer), {"old", "new"}), (callers(newer), {"new"}), ({"issuer": "", "audience": "modelcache.io", "keys": ""}, {"new"})):
        answer = orders.put(uid, wanted | {"callers": policy})
        assert answer.status == 200, answer
        digests.add(answer.json["callersDigest"])
        assert {name for name, token in (("old", old), ("new", newer.token())) if opens(token)} == accepted
    assert len(digests) == 2, "an operator that knows no keys takes none away"
    # The kubelet has renewed the reader's token; its next connection shows it.
    token_file(view, newer.token())
    first.kill()
    # What a pod with the directory mounted for writing would put there, so that everybody may come in.
    forged = {"version": 1, "uid": uid, "definition": {"namespace": "other-team"} | {n: v for n, v in wanted.items() if n != "namespace"}}
    (volume(place, uid) / ".modelcache/definition.json").write_text(json.dumps(forged))
    assert kept_definition(place, uid).stat().st_mode & 0o777 == 0o644 and kept_definition(place, uid).parent.stat().st_mode & 0o777 == 0o700
    _, orders = node(MODELCACHE_KEY_WAIT_SECONDS=1)
    assert orders.cache(uid)["callersDigest"] in digests and orders.cache(uid)["namespace"] == "team"
    assert opens(newer.token()) and not opens(old) and not opens(newer.token("other-team")) and not opens("")
    assert reader.alive(), reader.output()
    store.faults()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    big = definition(store, model.prefix, model.bytes, callers=callers(key) | {"keys": "x" * (65 << 10)})
    answer = orders.put(new_uid(), big)
    assert answer.status == 400 and "callers.keys" in answer.json["message"], answer


def test_a_pod_that_starts_right_after_the_keys_changed_waits_for_the_operator(place, node, store, bucket, container, key):
    model = one_file(bucket, mebibytes=4)
    agent, orders = node()
    newer = Key("key-4")
    waiting = {}
    # One whose keys are old, and one that has none yet.
    for name, policy in (("old", callers(key)), ("none", {"issuer": "", "audience": "modelcache.io", "keys": ""})):
        uid = new_uid()
        assert orders.put(uid, definition(store, model.prefix, model.bytes, name=name, callers=policy)).status == 200
        view = container(volume(place, uid))
        variables = view.preloaded(store, model, MODELCACHE_TOKEN_FILE=token_file(view, newer.token()))
        waiting[uid] = name, Running(["sha256sum", view.path / "model.gguf"], place.log(name), environment=variables, prefix=view.prefix)
    wait_until(lambda: agent.process.output().count("waits for newer token keys") == 2, 120, "both wait")
    assert store.requests()["requests"] == 0, "the store was not asked"
    for uid, (name, reader) in waiting.items():
        answer = orders.put(uid, definition(store, model.prefix, model.bytes, name=name, callers=callers(key, newer)))
        assert answer.status == 200, answer
        assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    assert refusals(orders) == {}


def test_the_agent_keeps_the_preload_library_in_every_cache(place, node, store, bucket, work):
    model = one_file(bucket, mebibytes=4)
    library = work / "libossc_preload.so"
    library.write_bytes(paths.PRELOAD.read_bytes())
    first, orders = node("--disk-root", str(work / "disk"), MODELCACHE_PRELOAD_LIBRARY=library)
    kept = {}
    for medium, root in (("Memory", place.root), ("Disk", work / "disk")):
        uid = new_uid()
        assert orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium)).status == 200
        kept[uid] = root / "caches" / uid / ".modelcache/lib/libossc_preload.so"
    for file in kept.values():
        assert file.read_bytes() == library.read_bytes() and file.stat().st_mode & 0o777 == 0o644
    before = {file: file.stat().st_ino for file in kept.values()}
    first.stop()
    second, orders = node("--disk-root", str(work / "disk"), MODELCACHE_PRELOAD_LIBRARY=library)
    assert {file: file.stat().st_ino for file in kept.values()} == before, "the same library is left where it is"
    second.stop()
    # The next release, and one that somebody damaged.
    library.write_bytes(paths.PRELOAD.read_bytes() + b"newer")
    node("--disk-root", str(work / "disk"), MODELCACHE_PRELOAD_LIBRARY=library)
    for file in kept.values():
        assert file.read_bytes() == library.read_bytes() and file.stat().st_ino != before[file], "replaced, not written over"
        assert sorted(os.listdir(file.parent)) == ["libossc_preload.so"]


def test_llama_server_in_a_pod_streams_and_starts_again_without_an_agent(place, node, store, gemma, container, server, key):
    """Unprivileged, with a read-only view of the cache that is MODEL_DIR itself; nothing of ours but what lies in it."""
    plain = server(paths.gemma(), clean_environment())
    plain.wait_ready(120)
    answer = plain.complete()
    plain.stop()
    size = gemma.stat().st_size
    store.faults({"match": {"ranged": True, "range": f"{size // 2}-"}, "action": {"held": True}})
    agent, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, "gemma/", size, callers=callers(key))).status == 200
    view = container(volume(place, uid))
    llama = paths.llama().resolve()
    top = llama.parents[len(llama.parents) - 2]
    # llama.cpp's folder names itself by its path, below which nobody may look.
    see_llama = f"mkdir -p {view.programs}/llama && mount --bind {llama.parent} {view.programs}/llama && "
    if str(top) not in ("/tmp", "/usr", "/dev"):
        see_llama += f"mount -t tmpfs none {top} && mkdir -p {llama.parent} && mount --bind {view.programs}/llama {llama.parent} && "
    prefix = [see_llama + part if part.startswith("mount --bind") else part for part in view.prefix]
    token = token_file(view, key.token())
    environment = store.environment("gemma/", PRELOADED=view.path / ".modelcache/lib/libossc_preload.so", ENABLE_CONNECTOR=1, MODEL_DIR=view.path,
                                    MODELCACHE_SOCKET=view.socket, MODELCACHE_TOKEN_FILE=token)

    def start():
        one = server(view.path / "gemma.gguf", environment, prefix=prefix)
        one._prefix = []  # The network is everybody's.
        return one

    first = start()
    wait_until(lambda: 0 < orders.cache(uid)["bytesCached"] < size and orders.cache(uid)["users"] > 0, 120, "it reads while the model arrives")
    store.faults()
    first.wait_ready(120)
    assert first.complete() == answer
    wait_until(lambda: orders.cache(uid)["state"] == "Ready", 120, "the model is whole")
    first.stop()
    agent.stop()
    token_file(view, "of no use any more")
    second = start()
    second.wait_ready(120)
    assert second.complete() == answer
    assert "going on without it" in second.process.output() and place.agents() == []
