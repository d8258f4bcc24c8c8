"""Alibaba Cloud's first Python SDK, with V1 and V4 signatures."""
import urllib.request

import oss2
import pytest
from oss2.credentials import StaticCredentialsProvider

from conftest import (GIB, KEY_ID, ODD_KEYS, OLD_ID, OLD_SECRET, OLD_TOKEN, REGION, SECRET, STS_ID, STS_SECRET,
                      STS_TOKEN)


def auth(version, key=KEY_ID, secret=SECRET):
    provider = StaticCredentialsProvider(key, secret)
    return oss2.ProviderAuth(provider) if version == "v1" else oss2.ProviderAuthV4(provider)


@pytest.fixture(params=["v1", "v4"])
def version(request):
    return request.param


@pytest.fixture(params=["virtual", "path"])
def bucket(request, version, signed):
    endpoint = signed.oss if request.param == "virtual" else signed.address
    return oss2.Bucket(auth(version), endpoint, "models", region=REGION, is_path_style=request.param == "path")


@pytest.fixture
def scratch(bucket, signed):
    return oss2.Bucket(bucket.auth, bucket.endpoint, "scratch", region=REGION, is_path_style=signed.address == bucket.endpoint)


def test_objects_with_odd_keys_are_read_with_their_crc_checked(bucket, content):
    for key in [*ODD_KEYS, "empty", "big.bin"]:
        answer = bucket.get_object(key)
        assert answer.read() == content[key], key
        assert answer.client_crc == answer.server_crc
        assert bucket.head_object(key).content_length == len(content[key])
        assert bucket.object_exists(key)


def test_put_then_get_then_list_then_delete(scratch):
    for key in ODD_KEYS:
        data = key.encode() * 1000
        written = scratch.put_object("up/" + key, data)
        head = scratch.head_object("up/" + key)
        assert written.status == 200 and head.content_length == len(data) and head.etag == written.etag
        assert scratch.get_object("up/" + key).read() == data
    assert {o.key for o in oss2.ObjectIterator(scratch, prefix="up/")} == {"up/" + key for key in ODD_KEYS}
    for key in ODD_KEYS:
        scratch.delete_object("up/" + key)
    assert list(oss2.ObjectIteratorV2(scratch, prefix="up/")) == []


def test_listings_of_both_versions_page_through_every_key(bucket, content):
    expected = sorted([*content, "sparse.gguf"], key=str.encode)
    assert [o.key for o in oss2.ObjectIterator(bucket, max_keys=4)] == expected
    assert [o.key for o in oss2.ObjectIteratorV2(bucket, max_keys=3)] == expected
    sizes = {o.key: o.size for o in oss2.ObjectIteratorV2(bucket)}
    assert all(sizes[key] == len(data) for key, data in content.items())


def test_a_delimiter_folds_folders(bucket, content):
    found = list(oss2.ObjectIteratorV2(bucket, delimiter="/", max_keys=2))
    assert [o.key for o in found if o.is_prefix()] == sorted({k.split("/")[0] + "/" for k in content if "/" in k}, key=str.encode)
    assert sorted(o.key for o in found if not o.is_prefix()) == sorted([k for k in content if "/" not in k] + ["sparse.gguf"])
    assert [o.key for o in oss2.ObjectIterator(bucket, prefix="中文/")] == ["中文/模型-00001-of-00015.gguf"]


def test_ranges_reach_past_4_gib(bucket, content, sparse_marks):
    assert bucket.get_object("big.bin", byte_range=(7, 4_000_006)).read() == content["big.bin"][7:4_000_007]
    assert bucket.get_object("big.bin", byte_range=(None, 10)).read() == content["big.bin"][-10:]
    assert bucket.get_object("big.bin", byte_range=(9_000_000, None)).read() == content["big.bin"][9_000_000:]
    for offset, mark in sparse_marks.items():
        answer = bucket.get_object("sparse.gguf", byte_range=(offset, offset + 6))
        assert answer.read() == mark and answer.status == 206
        assert answer.content_range == f"bytes {offset}-{offset + 6}/{5 * GIB + 7}"
    assert bucket.head_object("sparse.gguf").content_length == 5 * GIB + 7


def test_a_range_past_the_end_is_the_whole_object_or_416(bucket, content):
    size = len(content["plain.bin"])
    assert bucket.get_object("plain.bin", byte_range=(size, size + 5)).read() == content["plain.bin"]
    with pytest.raises(oss2.exceptions.ServerError) as failure:
        bucket.get_object("plain.bin", byte_range=(size, size + 5), headers={"x-oss-range-behavior": "standard"})
    assert (failure.value.status, failure.value.code) == (416, "InvalidRange")


def test_presigned_urls_open_without_a_key(bucket, content):
    for key in ODD_KEYS:
        url = bucket.sign_url("GET", key, 60, slash_safe=True)
        assert urllib.request.urlopen(url).read() == content[key], key


def test_resumable_download_gives_the_file(bucket, content, tmp_path):
    oss2.resumable_download(bucket, "big.bin", str(tmp_path / "big"), multiget_threshold=1 << 20, part_size=1 << 20,
                            num_threads=4, store=oss2.ResumableDownloadStore(root=str(tmp_path)))
    assert (tmp_path / "big").read_bytes() == content["big.bin"]


def test_temporary_keys_need_their_token(version, signed, content):
    def get(id, secret, token):
        sts = oss2.StsAuth(id, secret, token, auth_version=version)
        return oss2.Bucket(sts, signed.oss, "models", region=REGION).get_object("plain.bin").read()

    assert get(STS_ID, STS_SECRET, STS_TOKEN) == content["plain.bin"]
    with pytest.raises(oss2.exceptions.ServerError) as failure:
        get(STS_ID, STS_SECRET, "wrong")
    assert failure.value.code == "InvalidSecurityToken"
    with pytest.raises(oss2.exceptions.ServerError) as failure:
        get(OLD_ID, OLD_SECRET, OLD_TOKEN)
    assert failure.value.code == "SecurityTokenExpired"
    sts = oss2.StsAuth(STS_ID, STS_SECRET, STS_TOKEN, auth_version=version)
    url = oss2.Bucket(sts, signed.oss, "models", region=REGION).sign_url("GET", "plain.bin", 60)
    assert urllib.request.urlopen(url).read() == content["plain.bin"]


def test_a_wrong_key_a_wrong_secret_and_a_wrong_name_have_their_own_errors(version, signed):
    def failure(id=KEY_ID, secret=SECRET, name="models", key="plain.bin"):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            oss2.Bucket(auth(version, id, secret), signed.oss, name, region=REGION).get_object(key)
        return caught.value.status, caught.value.code

    assert failure(secret="no") == (403, "SignatureDoesNotMatch")
    assert failure(id="nobody") == (403, "InvalidAccessKeyId")
    assert failure(name="missing") == (404, "NoSuchBucket")
    assert failure(key="missing") == (404, "NoSuchKey")


def test_a_head_tells_its_error_in_a_header(version, signed):
    with pytest.raises(oss2.exceptions.NotFound) as caught:
        oss2.Bucket(auth(version), signed.oss, "models", region=REGION).head_object("missing")
    assert caught.value.code == "NoSuchKey"


def test_v4_names_its_region(signed):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        oss2.Bucket(auth("v4"), signed.oss, "models", region="cn-beijing").get_object("plain.bin")
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
    assert "region" in caught.value.message


def test_a_skewed_clock_is_refused(version, skewed):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        oss2.Bucket(auth(version), skewed.oss, "models", region=REGION).get_object("plain.bin")
    assert (caught.value.status, caught.value.code) == (403, "RequestTimeTooSkewed")


def test_only_a_public_bucket_answers_the_nameless(signed):
    assert oss2.Bucket(oss2.AnonymousAuth(), signed.oss, "open").get_object("hello.txt").read() == b"hello"
    with pytest.raises(oss2.exceptions.AccessDenied):
        oss2.Bucket(oss2.AnonymousAuth(), signed.oss, "models").get_object("plain.bin")
    with pytest.raises(oss2.exceptions.AccessDenied):
        oss2.Bucket(oss2.AnonymousAuth(), signed.oss, "open").put_object("new", b"x")


def test_buckets_and_their_information(version, signed):
    service = oss2.Service(auth(version), signed.oss, region=REGION)
    assert [b.name for b in service.list_buckets().buckets] == ["models", "open", "scratch"]
    bucket = oss2.Bucket(auth(version), signed.oss, "models", region=REGION)
    assert bucket.get_bucket_info().name == "models"
    assert bucket.get_bucket_location().location == "oss-" + REGION


def test_an_upload_that_is_not_what_its_md5_says_is_refused(scratch):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        scratch.put_object("bad", b"x", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    assert (caught.value.status, caught.value.code) == (400, "BadDigest")
    assert not scratch.object_exists("bad")


def test_conditions_on_the_etag(bucket, content):
    tag = bucket.head_object("plain.bin").etag
    assert bucket.get_object("plain.bin", headers={"If-Match": f'"{tag}"'}).read() == content["plain.bin"]
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("plain.bin", headers={"If-Match": '"0000"'})
    assert caught.value.status == 412
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("plain.bin", headers={"If-None-Match": f'"{tag}"'})
