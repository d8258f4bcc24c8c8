"""The command `modelcache`: precedence of settings, progress, exit codes, status, eviction, pins, HTTP."""
import json
import os
import pathlib
import pty
import re
import select
import time
import urllib.error
import urllib.request

import pytest

from content import MIB, make_model, one_file
from support import paths
from support.agent import Agent
from support.processes import Running, clean_environment, free_port, wait_until
from support.store import Store
from support.wire import open_model


def warm(place, environment, *arguments, seconds=120) -> pathlib.Path:
    result = place.modelcache("warm", *arguments, environment=environment, seconds=seconds)
    assert result.returncode == 0, result.stderr.decode()
    return pathlib.Path(result.stdout.decode().splitlines()[-1])


# ---- precedence --------------------------------------------------------------------------------------------------

def test_a_flag_wins_over_the_environment_for_the_source(place, agent, store, bucket):
    right = one_file(bucket, "right/", 3)
    agent()
    environment = store.environment("wrong/", OSS_ENDPOINT="http://127.0.0.1:1", OSS_REGION="cn-wrong")
    folder = warm(place, environment, "--source", "oss://models/right/", "--endpoint", store.endpoint, "--region", "cn-test")
    right.assert_whole(folder)


def limits_of(place, environment: dict, *arguments) -> tuple[int, int]:
    """The in-flight limit and the budget that a new agent reports under these settings."""
    agent = Agent(place, "--http", "off", *arguments, environment=clean_environment() | environment)
    try:
        agent.ready()
        status = place.status()
        return status["inFlightLimitBytes"], status["budgetBytes"]
    finally:
        agent.stop()


def test_the_order_is_flag_then_environment_then_file_then_default(place):
    assert limits_of(place, {})[0] == 256 * MIB
    assert limits_of(place, {"MODELCACHE_IN_FLIGHT": "64MiB", "MODELCACHE_BUDGET": "1GiB"}) == (64 * MIB, 1024 * MIB)
    assert limits_of(place, {"MODELCACHE_IN_FLIGHT": "64MiB", "MODELCACHE_BUDGET": "1GiB"}, "--in-flight", "32MiB", "--budget", "512MiB") == (32 * MIB, 512 * MIB)


def test_expire_time_comes_from_the_file_unless_the_environment_says_otherwise(place, agent, store, bucket):
    one_file(bucket, "a/", 2)
    (place.folder / "config.json").write_text('{"logLevel": 1, "expireTimeSec": 1, "prefetch": {"vcpus": 2, "workers": 4}}')
    first = agent()
    warm(place, store.environment("a/"))
    wait_until(lambda: place.status()["models"] == [], 120, "the file's expireTimeSec evicts the model")
    first.stop()
    agent(MODELCACHE_EXPIRE_SECONDS="3600")
    warm(place, store.environment("a/"))
    time.sleep(3.5)
    assert len(place.status()["models"]) == 1


@pytest.mark.parametrize("text, named", [
    ('{"expireTimeSec": "soon"}', "expireTimeSec"), ('{"prefetch": {"workers": 0}}', "prefetch.workers"), ("{ not json", "config.json"),
])
def test_a_wrong_configuration_file_ends_the_agent_and_names_the_member(text, named, place):
    (place.folder / "config.json").write_text(text)
    result = place.modelcache("agent", seconds=120)
    assert result.returncode == 78, result
    assert named in result.stderr.decode() and result.stderr.decode().count("\n") == 1


@pytest.mark.parametrize("arguments, variable", [
    (("--budget", "lots"), "--budget"), (("--medium", "tape"), "--medium"), (("--verify", "never"), "--verify"),
    (("--http", "nowhere"), "--http"), (("--connections", "0"), "--connections"),
])
def test_a_wrong_flag_ends_the_agent_and_is_named(arguments, variable, place):
    result = place.modelcache("agent", *arguments, seconds=120)
    assert result.returncode == 78, result
    assert variable in result.stderr.decode()


# ---- progress ----------------------------------------------------------------------------------------------------

def test_warm_json_prints_objects_that_end_with_complete(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=40)
    rate = 2e6
    store.faults(bandwidth=rate)
    agent()
    errors = place.folder / "errors"
    job = Running(["sh", "-c", f"exec {paths.MODELCACHE} warm --json 2>{errors}"], place.log("warm"),
                  environment=store.environment(model.prefix) | {k: str(v) for k, v in place.settings().items()})

    def told() -> list[dict]:
        return [json.loads(line) for line in job.output().splitlines(keepends=True) if line.endswith("\n")]

    wait_until(lambda: len(told()) >= 2 and any(0.3 < line["bytesPerSecond"] / rate < 3 for line in told()), 120, "a plausible rate is told")
    store.faults()
    assert job.wait(120) == 0, job.output()
    lines = told()
    assert lines[0]["phase"] == "filling" and lines[-1]["phase"] == "complete"
    present = [line["presentBytes"] for line in lines]
    assert present == sorted(present) and present[-1] == lines[-1]["totalBytes"] == model.bytes
    assert errors.read_text() == ""


def test_progress_without_a_terminal_is_plain_lines(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=10)
    store.faults(bandwidth=10e6)
    agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0
    assert b"\x1b" not in result.stderr and b"\r" not in result.stderr
    assert b"100%" in result.stderr.splitlines()[-1]
    pathlib.Path(result.stdout.decode().strip()).resolve(strict=True)


def test_progress_on_a_terminal_draws_a_bar(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=20)
    store.faults(bandwidth=2e6)
    agent()
    environment = store.environment(model.prefix) | {k: str(v) for k, v in place.settings().items()} | {"TERM": "xterm", "COLUMNS": "100"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(paths.MODELCACHE, [str(paths.MODELCACHE), "warm"], environment)
    drawn = re.compile(r"\r\x1b\[K\[(█*)(·*)\] +(\d+)%")
    shown, is_slow = b"", True
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
            # What is drawn while bytes arrive has been seen.
            if is_slow and len(drawn.findall(shown.decode(errors="ignore"))) >= 5 and b"left" in shown:
                store.faults()
                is_slow = False
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    text = shown.decode()
    bars = drawn.findall(text)
    assert len(bars) >= 5, text
    assert [int(share) for *_, share in bars] == sorted(int(share) for *_, share in bars)
    assert bars[-1][2] == "100" and bars[-1][1] == ""
    assert "MB/s" in text and "left" in text


# ---- exit codes --------------------------------------------------------------------------------------------------

def test_no_agent_at_the_socket_gives_69(place):
    for verb in (("status",), ("evict", "--all")):
        result = place.modelcache(*verb)
        assert result.returncode == 69, result
        assert str(place.socket) in result.stderr.decode()


@pytest.mark.parametrize("verb", ["warm", "ls"])
@pytest.mark.parametrize("change, named", [
    ({"OSS_PATH": None}, "OSS_PATH"), ({"OSS_PATH": "models/one"}, "OSS_PATH"), ({"OSS_ENDPOINT": None}, "OSS_ENDPOINT"),
    ({"OSS_ACCESS_KEY_SECRET": None}, "OSS_ACCESS_KEY_SECRET"), ({"OSS_ENDPOINT": "ftp://x"}, "OSS_ENDPOINT"),
    ({"MODELCACHE_SIGNATURE": "v9"}, "MODELCACHE_SIGNATURE"), ({"HTTP_SOURCE_IP": "not-an-ip"}, "HTTP_SOURCE_IP"),
])
def test_missing_or_wrong_settings_give_78_and_name_the_variable(verb, change, named, place, agent, store):
    agent()
    environment = {k: v for k, v in (store.environment("one/") | change).items() if v is not None}
    result = place.modelcache(verb, environment=environment, seconds=120)
    assert result.returncode == 78, result
    text = result.stderr.decode()
    assert named in text and text.count("\n") == 1, text


@pytest.mark.parametrize("verb", ["warm", "ls", "doctor"])
@pytest.mark.parametrize("arguments, named", [
    (("--source", "oss://b/m/"), '--source "oss://b/m/": '), (("--source=models/one",), '--source "models/one": '),
    (("--endpoint", "ftp://x"), '--endpoint "ftp://x": ')])
def test_a_wrong_setting_has_the_name_by_which_it_was_set(verb, arguments, named, place, agent, store):
    agent()
    result = place.modelcache(verb, *arguments, environment=store.environment("one/"), seconds=120)
    assert named in (result.stdout + result.stderr).decode(), result


def test_a_source_that_is_missing_has_both_names(place, agent, store):
    agent()
    for verb in ("warm", "ls"):
        result = place.modelcache(verb, environment=store.environment("one/", OSS_PATH=""))
        assert b"--source (or OSS_PATH): is not set; " in result.stderr, result


def test_a_port_that_is_none_is_refused_with_the_range(place):
    for program in (paths.MODELCACHE, paths.MODELCACHE.with_name("kubectl-modelcache")):
        for port in ("99999", "-1"):
            result = place.run(program, "ui", f"--port={port}", environment=clean_environment())
            assert result.returncode == 64 and b"write one from 1 to 65535" in result.stderr, result


def test_a_program_that_does_not_exist_gives_127(place, store):
    result = place.modelcache("run", "--source", "oss://models/one/", "--", "/nonexistent/llama-server", environment=store.environment("one/"))
    assert result.returncode == 127, result


def test_run_streams_to_a_program(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=16)
    store.faults(bandwidth=16e6)
    agent()
    folder = work / "seen"
    result = place.modelcache("run", "--source", "oss://models/one/", "--dir", folder, "--", "sha256sum", "{}/model.gguf", environment=store.environment("wrong/"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().split() == [model.digests["model.gguf"], f"{folder}/model.gguf"]


def test_switches_take_a_value_as_those_of_kubectl_do(place, agent, store, bucket):
    one_file(bucket, mebibytes=1)
    agent()
    assert "models" in json.loads(place.modelcache("status", "--json=true").stdout)
    off = place.modelcache("status", "--json=false")
    assert off.returncode == 0 and not off.stdout.startswith(b"{")
    assert place.modelcache("status", "--json=maybe").returncode == 64
    # What follows -- is the program's.
    ran = place.modelcache("run", "--source", "oss://models/one/", "--", "echo", "--json=true", environment=store.environment("one/"))
    assert ran.stdout.decode().strip() == "--json=true", ran


def test_doctor_finds_a_good_source_good(place, agent, store, bucket):
    one_file(bucket, mebibytes=1)
    agent()
    result = place.modelcache("doctor", "--json", environment=store.environment("one/"))
    findings = json.loads(result.stdout)
    assert not [f for f in findings if f["verdict"] == "bad"], findings
    assert result.returncode == 0
    bad = place.modelcache("doctor", "--json", environment=store.environment("one/", OSS_ENDPOINT="http://127.0.0.1:1"), seconds=120)
    assert bad.returncode == 1
    found = [f for f in json.loads(bad.stdout) if f["verdict"] == "bad"]
    assert found and all(f["remedy"] for f in found), found


# ---- status, eviction, pins --------------------------------------------------------------------------------------

def test_status_tells_what_is_cached_and_evict_gives_it_up(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=9)
    agent()
    folder = warm(place, store.environment(model.prefix))
    status = place.status()
    assert [m["source"] for m in status["models"]] == ["oss://models/one/"]
    cached = status["models"][0]
    assert cached["phase"] == "complete" and cached["presentBytes"] == cached["totalBytes"] == model.bytes
    assert cached["originBytes"] == model.bytes and cached["directory"] == str(folder) and cached["users"] == 0
    plain = place.modelcache("status").stdout.decode()
    assert cached["id"] in plain and "complete" in plain and "100%" in plain
    result = place.modelcache("evict", cached["id"])
    assert result.returncode == 0 and cached["id"] in result.stdout.decode()
    assert place.status()["models"] == [] and not folder.exists()
    assert place.modelcache("evict", cached["id"]).returncode == 1


def test_a_warm_model_costs_the_store_no_bytes(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=9)
    agent()
    warm(place, store.environment(model.prefix))
    before = store.requests()["bytesServed"]
    model.assert_whole(warm(place, store.environment(model.prefix)))
    listing = store.requests()["bytesServed"] - before
    assert listing < 10_000


def test_the_least_recently_used_model_goes_when_room_is_needed(place, agent, store, bucket):
    models = {name: one_file(bucket, f"{name}/", 24, seed=i) for i, name in enumerate("abcd")}
    agent("--budget", "64MiB")
    folders = {}
    for name in "ab":
        folders[name] = warm(place, store.environment(f"{name}/"))
        time.sleep(1.1)
    warm(place, store.environment("a/"))  # a is now the later one
    time.sleep(1.1)
    folders["c"] = warm(place, store.environment("c/"))
    assert {m["source"][-2] for m in place.status()["models"]} == {"a", "c"}
    models["a"].assert_whole(folders["a"])
    models["c"].assert_whole(folders["c"])
    assert not folders["b"].exists()


def test_a_pinned_model_stays_and_another_goes(place, agent, store, bucket):
    for i, name in enumerate("abcd"):
        one_file(bucket, f"{name}/", 24, seed=i)
    agent("--budget", "64MiB", "--expire", "3600")
    folder = warm(place, store.environment("a/"), "--pin")
    time.sleep(1.1)
    warm(place, store.environment("b/"))
    warm(place, store.environment("c/"))
    assert {m["source"][-2] for m in place.status()["models"]} == {"a", "c"}
    result = place.modelcache("evict", "--all")
    assert result.returncode == 0
    assert [(m["source"][-2], m["pinned"]) for m in place.status()["models"]] == [("a", True)]
    refused = place.modelcache("evict", place.status()["models"][0]["id"])
    assert refused.returncode == 1 and b"pinned" in refused.stderr
    assert folder.exists()
    assert place.modelcache("evict", "--force", place.status()["models"][0]["id"]).returncode == 0
    assert not folder.exists()


def test_a_model_in_use_is_not_evicted_for_another(place, agent, store, bucket):
    one_file(bucket, "a/", 40, seed=1)
    one_file(bucket, "b/", 40, seed=2)
    agent("--budget", "64MiB")
    with open_model(place, store.environment("a/")):
        result = place.modelcache("warm", environment=store.environment("b/"))
    assert result.returncode == 1, result
    assert b"budget" in result.stderr and b"in use" in result.stderr and result.stderr.count(b"\n") == 1, result.stderr
    assert [m["source"][-2] for m in place.status()["models"]] == ["a"]


# semantics 12
def test_two_choices_of_files_from_one_prefix_do_not_disturb_each_other(place, agent, store, bucket):
    """A second client with another --include must not fail the first one's load."""
    model = make_model(bucket, "mixed/", {"q4.gguf": 20 * MIB, "q8.gguf": 20 * MIB})
    agent()
    store.faults(bandwidth=10e6)
    first = Running([paths.MODELCACHE, "warm", "--include", "*q4*"], place.log("warm"),
                    environment=store.environment(model.prefix) | {k: str(v) for k, v in place.settings().items()})
    wait_until(lambda: place.status()["models"], 120, "the first choice is open")
    second = place.modelcache("warm", "--include", "*q8*", environment=store.environment(model.prefix))
    assert first.wait(120) == 0, first.output()
    assert second.returncode == 0, second.stderr


# ---- an agent that nobody needs ----------------------------------------------------------------------------------

def models(place) -> list[dict]:
    """None of an agent that does not answer yet."""
    result = place.modelcache("status", "--json")
    return json.loads(result.stdout)["models"] if result.returncode == 0 else []


def test_an_agent_that_was_started_for_a_client_ends_when_unused_and_leaves_nothing(place, store, bucket, work):
    model = one_file(bucket, mebibytes=6)
    store.faults({"match": {"ranged": True}, "action": {"held": True}})
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_EXPIRE_SECONDS=2)
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: place.socket.exists() and len(place.agents()) == 1, 120, "the library has started an agent")
    folder = pathlib.Path(wait_until(lambda: models(place), 120, "the model is open")[0]["directory"])
    time.sleep(13)  # an agent that nobody uses ends after ten
    assert folder.exists() and len(place.agents()) == 1, "who waits uses it"
    store.faults()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    wait_until(lambda: not place.agents(), 120, "the agent ends by itself")
    assert not folder.exists() and not place.socket.exists()


# ---- HTTP --------------------------------------------------------------------------------------------------------

def get(address: str, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"] or "", answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", ""


def test_http_tells_health_status_and_metrics(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=7)
    one = agent()
    wait_until(lambda: _answers(one.http), 120, "HTTP answers")
    warm(place, store.environment(model.prefix))
    assert get(one.http, "/healthz")[0] == 200
    assert get(one.http, "/readyz")[0] == 200
    status, kind, body = get(one.http, "/v1/status")
    assert status == 200 and kind.startswith("application/json")
    assert json.loads(body)["models"][0]["presentBytes"] == model.bytes
    status, kind, body = get(one.http, "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in body.splitlines() if line and not line.startswith("#"))
    assert [float(v) for k, v in samples.items() if k.startswith("modelcache_origin_bytes_total{")] == [model.bytes]
    for name in samples:
        assert f"# TYPE {name.split('{')[0]} " in body
    assert get(one.http, "/nothing")[0] == 404


def _answers(address: str) -> bool:
    try:
        return get(address, "/healthz")[0] == 200
    except OSError:
        return False
