"""What a person should know of a model that loads all the same: `warm` and `status` name each object and the reason."""
import json

import pytest

from content import make_model


@pytest.fixture
def model(bucket):
    return make_model(bucket, "m/", {"model.bin": (5 << 20) + 77, "config.json": 9})


def warm(place, environment, *arguments):
    result = place.modelcache("warm", *arguments, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    return result


def test_objects_left_out_or_unverified_are_named(place, agent, store, model):
    # Without a checksum and uploaded in parts: the entity tag tells nothing of the bytes.
    store.oddities({"key": "m/model.bin", "checksum": "none", "partBytes": 2 << 20},
                   objects=[{"key": key, "text": "x"} for key in ("m//stray.txt", "m/a%0Ab")])
    environment = store.environment(OSS_PATH="s3://models/m/")
    agent()
    result = warm(place, environment)
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    lines = [line for line in result.stderr.decode().splitlines() if "warning: " in line]
    for expected in (
            "warning: /stray.txt: left out: it has two slashes in a row", "warning: a\\u{a}b: left out: it has a control character",
            "warning: model.bin: not verified: the store has no checksum of the complete object"):
        assert sum(expected in line for line in lines) == 1, (expected, lines)
    (model,) = place.status()["models"]
    told = {(warning.get("object"), warning["message"]) for warning in model["warnings"]}
    assert ("/stray.txt", "left out: it has two slashes in a row") in told and len(told) == 3, told
    assert b"warning: model.bin: not verified" in place.modelcache("status").stdout
    # As JSON on standard output, and nothing else there.
    again = warm(place, environment, "--json")
    assert len(json.loads(again.stdout.splitlines()[-1])["warnings"]) == 3, again.stdout
    assert b"warning: " not in again.stderr


def test_an_unreadable_object_is_a_warning_with_its_remedy(place, agent, store, bucket, model):
    (bucket / "m/old.bin").write_bytes(b"z" * 1000)
    store.oddities({"key": "m/old.bin", "storageClass": "Archive"})
    agent()
    result = place.modelcache("warm", environment=store.environment("m/"))
    (line,) = [line for line in result.stderr.decode().splitlines() if "warning: old.bin: " in line]
    assert "it is archived and has not been restored; restore it" in line, line


def test_a_model_without_oddities_has_no_warnings(place, agent, store, model):
    agent()
    assert b"warning: " not in warm(place, store.environment("m/")).stderr
    assert "warnings" not in place.status()["models"][0]
