"""Alibaba Cloud's second Python SDK: V4 signatures by default, V1 on request."""
import urllib.request

import alibabacloud_oss_v2 as oss
import pytest

from conftest import (GIB, KEY_ID, ODD_KEYS, OLD_ID, OLD_SECRET, OLD_TOKEN, REGION, SECRET, STS_ID, STS_SECRET,
                      STS_TOKEN)


def client(store, style="virtual", version="v4", id=KEY_ID, secret=SECRET, token=None, region=REGION, provider=None,
           attempts=1):
    config = oss.config.load_default()
    config.credentials_provider = provider or oss.credentials.StaticCredentialsProvider(id, secret, token)
    config.region, config.signature_version = region, version
    config.endpoint = store.oss if style == "virtual" else store.address
    config.use_path_style = style == "path"
    config.retry_max_attempts = attempts
    return oss.Client(config)


@pytest.fixture(params=["virtual", "path"])
def style(request):
    return request.param


@pytest.fixture(params=["v4", "v1"])
def version(request):
    return request.param


@pytest.fixture
def sdk(style, version, signed):
    return client(signed, style, version)


def failure(call, *arguments, **named):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call(*arguments, **named)
    error = caught.value.unwrap()
    assert isinstance(error, oss.exceptions.ServiceError), error
    return error.status_code, error.code


def get(sdk, key="plain.bin", bucket="models", **more):
    with sdk.get_object(oss.GetObjectRequest(bucket=bucket, key=key, **more)).body as body:
        return body.read()


def test_objects_with_odd_keys(sdk, content):
    for key in [*ODD_KEYS, "empty", "big.bin"]:
        assert get(sdk, key) == content[key], key
        head = sdk.head_object(oss.HeadObjectRequest(bucket="models", key=key))
        assert head.content_length == len(content[key])
        assert int(head.hash_crc64) >= 0 and sdk.is_object_exist("models", key)


def test_a_download_checks_the_crc(signed, style, version, content, tmp_path):
    sdk = client(signed, style, version, attempts=3)  # with one attempt this SDK writes no file
    sdk.get_object_to_file(oss.GetObjectRequest(bucket="models", key="big.bin"), str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == content["big.bin"]
    loader = sdk.downloader(part_size=1 << 20, parallel_num=4)
    loader.download_file(oss.GetObjectRequest(bucket="models", key="big.bin"), str(tmp_path / "parts"))
    assert (tmp_path / "parts").read_bytes() == content["big.bin"]


def test_listings_of_both_versions_page_through_every_key(sdk, content):
    expected = sorted([*content, "sparse.gguf"], key=str.encode)
    second = sdk.list_objects_v2_paginator(limit=4).iter_page(oss.ListObjectsV2Request(bucket="models"))
    assert [o.key for page in second for o in page.contents or []] == expected
    first = sdk.list_objects_paginator(limit=7).iter_page(oss.ListObjectsRequest(bucket="models"))
    assert [o.key for page in first for o in page.contents or []] == expected
    folded = sdk.list_objects_v2(oss.ListObjectsV2Request(bucket="models", delimiter="/", start_after="n"))
    assert [p.prefix for p in folded.common_prefixes] == ["sub/", "中文/"]


def test_ranges_reach_past_4_gib(sdk, content, sparse_marks):
    assert get(sdk, "big.bin", range_header="bytes=7-4000006") == content["big.bin"][7:4_000_007]
    for offset, mark in sparse_marks.items():
        assert get(sdk, "sparse.gguf", range_header=f"bytes={offset}-{offset + 6}", range_behavior="standard") == mark
    assert sdk.head_object(oss.HeadObjectRequest(bucket="models", key="sparse.gguf")).content_length == 5 * GIB + 7
    size = len(content["plain.bin"])
    assert get(sdk, range_header=f"bytes={size}-") == content["plain.bin"]
    past = oss.GetObjectRequest(bucket="models", key="plain.bin", range_header=f"bytes={size}-", range_behavior="standard")
    assert failure(sdk.get_object, past) == (416, "InvalidRange")


def test_put_get_and_delete(sdk):
    for key in ODD_KEYS:
        data = key.encode() * 1000
        written = sdk.put_object(oss.PutObjectRequest(bucket="scratch", key="v2/" + key, body=data))
        assert written.status_code == 200
        assert get(sdk, "v2/" + key, "scratch") == data
        sdk.delete_object(oss.DeleteObjectRequest(bucket="scratch", key="v2/" + key))
    assert not sdk.list_objects_v2(oss.ListObjectsV2Request(bucket="scratch", prefix="v2/")).contents


def test_presigned_urls_open_without_a_key(sdk, content):
    for key in ODD_KEYS:
        signed = sdk.presign(oss.GetObjectRequest(bucket="models", key=key))
        assert urllib.request.urlopen(signed.url).read() == content[key], key


def test_more_headers_may_be_signed(signed, content):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(KEY_ID, SECRET)
    config.region, config.endpoint, config.additional_headers = REGION, signed.oss, ["host", "range"]
    assert get(oss.Client(config), "big.bin", range_header="bytes=1-10") == content["big.bin"][1:11]


def test_temporary_keys_need_their_token(signed, content):
    """V4 alone: for V1 this SDK sends `security-token`, not the header that OSS documents."""
    def one(id, secret, token):
        return client(signed, id=id, secret=secret, token=token)

    assert get(one(STS_ID, STS_SECRET, STS_TOKEN)) == content["plain.bin"]
    wrong = one(STS_ID, STS_SECRET, "wrong")
    request = oss.GetObjectRequest(bucket="models", key="plain.bin")
    assert failure(wrong.get_object, request) == (403, "InvalidSecurityToken")
    assert failure(one(OLD_ID, OLD_SECRET, OLD_TOKEN).get_object, request) == (403, "SecurityTokenExpired")


def test_errors_have_their_own_codes(signed, version):
    def error(bucket="models", key="plain.bin", **more):
        return failure(client(signed, version=version, **more).get_object, oss.GetObjectRequest(bucket=bucket, key=key))

    assert error(secret="no") == (403, "SignatureDoesNotMatch")
    assert error(id="nobody") == (403, "InvalidAccessKeyId")
    assert error(bucket="missing") == (404, "NoSuchBucket")
    assert error(key="missing") == (404, "NoSuchKey")
    if version == "v4":
        assert error(region="cn-beijing") == (400, "InvalidArgument")
    head = oss.HeadObjectRequest(bucket="models", key="missing")
    assert failure(client(signed, version=version).head_object, head) == (404, "NoSuchKey")


def test_a_skewed_clock_is_told(skewed, version):
    request = oss.GetObjectRequest(bucket="models", key="plain.bin")
    assert failure(client(skewed, version=version).get_object, request) == (403, "RequestTimeTooSkewed")


def test_only_a_public_bucket_answers_the_nameless(signed):
    sdk = client(signed, provider=oss.credentials.AnonymousCredentialsProvider())
    assert get(sdk, "hello.txt", "open") == b"hello"
    assert failure(sdk.get_object, oss.GetObjectRequest(bucket="models", key="plain.bin")) == (403, "AccessDenied")


def test_buckets_and_conditions(sdk, content):
    assert [b.name for b in sdk.list_buckets(oss.ListBucketsRequest()).buckets] == ["models", "open", "scratch"]
    tag = sdk.head_object(oss.HeadObjectRequest(bucket="models", key="plain.bin")).etag
    assert get(sdk, if_match=tag) == content["plain.bin"]
    other = oss.GetObjectRequest(bucket="models", key="plain.bin", if_match='"0"')
    assert failure(sdk.get_object, other) == (412, "PreconditionFailed")
