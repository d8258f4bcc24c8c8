"""The official SDKs' credential providers against the emulator's STS, metadata services and container endpoint.

The keys that they get must open the emulator's buckets, through the SDKs' own stores' clients.
"""
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import boto3
import botocore.session
import oss2
import pytest
from alibabacloud_credentials.exceptions import CredentialException
from alibabacloud_credentials.provider import EcsRamRoleCredentialsProvider, OIDCRoleArnCredentialsProvider
from botocore.config import Config

from conftest import DevStore

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import tokens  # noqa: E402

SUBJECT = "system:serviceaccount:team:warm"
RAM_ROLE, IAM_ROLE = "acs:ram::1234:role/models", "arn:aws:iam::1234:role/models"
PROVIDER = "acs:ram::1234:oidc-provider/ack"


@pytest.fixture(scope="module")
def cluster_key():
    return tokens.Key("cluster")


@pytest.fixture(scope="module")
def plan(folder, cluster_key):
    keys = folder / "jwks.json"
    keys.write_text(json.dumps({"keys": [tokens.Key("other", "EC").public, cluster_key.public]}))
    return {
        "keysFile": str(keys), "issuer": tokens.ISSUER, "audiences": ["sts.aliyuncs.com", "sts.amazonaws.com"],
        "roles": [{"arn": RAM_ROLE, "provider": PROVIDER, "subjects": [SUBJECT]}, {"arn": IAM_ROLE, "subjects": [SUBJECT]}],
        "node": {"role": "node-role"}, "container": {"authorization": "let-me-in"},
    }


@pytest.fixture(scope="module")
def certificate(folder):
    path, key = folder / "sts.pem", folder / "sts.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=sts",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", path], check=True, capture_output=True)
    return path, key


@pytest.fixture(scope="module")
def store(folder, root, plan, certificate):
    path, key = certificate
    store = DevStore(folder, "--root", root, "--identity", json.dumps(plan), "--tls-port", "0", "--tls-cert", path, "--tls-key", key)
    yield store
    store.stop()


@pytest.fixture(autouse=True)
def first_plan(store, plan):
    store.admin("PUT", "/identity", plan)


@pytest.fixture
def token_file(folder, cluster_key):
    path = folder / "token"

    def write(**changes):
        path.write_text(cluster_key.token("team", sub=SUBJECT, **changes))
        return str(path)

    return write


def get(store, credentials):
    """An object by OSS's own client, with these keys."""
    auth = oss2.StsAuth(credentials.get_access_key_id(), credentials.get_access_key_secret(), credentials.get_security_token())
    return oss2.Bucket(auth, store.oss, "models").get_object("plain.bin").read()


@pytest.fixture
def oidc(store, certificate):
    """oidc(token_file): Alibaba's provider, which speaks HTTPS alone."""
    def make(token_file):
        provider = OIDCRoleArnCredentialsProvider(
            role_arn=RAM_ROLE, oidc_provider_arn=PROVIDER, oidc_token_file_path=token_file, sts_endpoint=f"127.0.0.1:{store.identity_tls_port}")
        provider._runtime_options["ca"] = str(certificate[0])
        return provider
    return make


@pytest.fixture
def metadata(store, monkeypatch):
    """The services' addresses lead to the emulator, inside this process."""
    real = socket.getaddrinfo

    def redirected(host, port, *rest, **more):
        if host in ("100.100.100.200", "169.254.169.254"):
            host, port = "127.0.0.1", store.identity_port
        return real(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", redirected)


def test_alibaba_oidc_provider(store, content, oidc, token_file):
    assert get(store, oidc(token_file(aud=["sts.aliyuncs.com"])).get_credentials()) == content["plain.bin"]


@pytest.mark.parametrize("changes, code", [
    ({"aud": ["modelcache.io"]}, "AudienceNotMatch"), ({"aud": ["sts.aliyuncs.com"], "iss": "https://other"}, "IssuerMismatch"),
    ({"aud": ["sts.aliyuncs.com"], "lifetime": -1}, "Expired"), ({"aud": ["sts.aliyuncs.com"], "header_kid": "other"}, "SignatureInvalid"),
])
def test_alibaba_oidc_provider_is_refused(oidc, token_file, changes, code):
    with pytest.raises(CredentialException, match=code):
        oidc(token_file(**changes)).get_credentials()


@pytest.mark.parametrize("hardened", [False, True])
def test_alibaba_ecs_provider(store, content, plan, metadata, hardened):
    store.admin("PUT", "/identity", plan | {"node": {"role": "node-role", "hardened": hardened}})
    provider = EcsRamRoleCredentialsProvider(disable_imds_v1=hardened, async_update_enabled=False)
    assert get(store, provider.get_credentials()) == content["plain.bin"]
    assert store.admin("GET", "/identity")["ECS metadata"] >= 1


@pytest.fixture
def aws(store, monkeypatch, folder):
    """boto3 in an environment of its own, with the emulator as S3."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{store.identity_port}")

    def read():
        session = boto3.Session(botocore_session=botocore.session.Session())
        client = session.client("s3", endpoint_url=store.address, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))
        return session.get_credentials().method, client.get_object(Bucket="models", Key="plain.bin")["Body"].read()

    return read


def test_botocore_web_identity(aws, content, token_file, monkeypatch):
    monkeypatch.setenv("AWS_ROLE_ARN", IAM_ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token_file(aud=["sts.amazonaws.com"]))
    assert aws() == ("assume-role-with-web-identity", content["plain.bin"])


def test_botocore_container(store, aws, content, folder, monkeypatch):
    authorization = folder / "authorization"
    authorization.write_text("let-me-in")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{store.identity_port}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(authorization))
    assert aws() == ("container-role", content["plain.bin"])


def test_botocore_instance(aws, content, metadata):
    assert aws() == ("iam-role", content["plain.bin"])


def test_ended_keys_are_refused_and_revoked_ones_unknown(store, plan, oidc, token_file):
    short = [plan["roles"][0] | {"sessionSeconds": 1}]
    store.admin("PUT", "/identity", plan | {"roles": short})
    credentials = oidc(token_file(aud=["sts.aliyuncs.com"]))._refresh_credentials().value()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            get(store, credentials)
        except oss2.exceptions.ServerError as error:
            assert error.code == "SecurityTokenExpired"
            break
        time.sleep(0.05)
    else:
        pytest.fail("the keys never ended")
    store.admin("PUT", "/identity", plan | {"revokes": True})
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        get(store, credentials)
    assert caught.value.code == "InvalidAccessKeyId"


def test_garbage_is_answered(store):
    for method, target, body in [("POST", "/", b"\xff\xfe"), ("POST", "/?Action=AssumeRoleWithOIDC", b"OIDCToken=%zz"), ("GET", "/../..", b""),
                                 ("PUT", "/latest/api/token", b""), ("DELETE", "/", b"")]:
        connection = http.client.HTTPConnection("127.0.0.1", store.identity_port, timeout=60)
        connection.request(method, target, body)
        assert connection.getresponse().status >= 400
        connection.close()
