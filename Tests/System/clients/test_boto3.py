"""Amazon's Python SDK: Signature Version 4."""
import hashlib
import io
import subprocess
import urllib.request

import boto3
import botocore
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from conftest import GIB, KEY_ID, ODD_KEYS, OLD_ID, OLD_SECRET, OLD_TOKEN, REGION, SECRET, STS_ID, STS_SECRET, STS_TOKEN


def client(store, style="path", key=KEY_ID, secret=SECRET, token=None, region=REGION, **config):
    return boto3.client(
        "s3", endpoint_url=store.s3 if style == "virtual" else store.address, aws_access_key_id=key,
        aws_secret_access_key=secret, aws_session_token=token, region_name=region,
        config=Config(s3={"addressing_style": style, **config.pop("s3", {})}, signature_version=config.pop("signature", "s3v4"),
                      retries={"max_attempts": 1, "mode": "standard"}, **config))


@pytest.fixture(params=["path", "virtual"])
def s3(request, signed):
    return client(signed, request.param)


@pytest.fixture(scope="module")
def encrypted(start, root, folder, signing):
    """A client of a store with TLS and a certificate made on the spot."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=s3.test",
                    "-addext", "subjectAltName=DNS:s3.test,DNS:*.s3.test,IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    store = start("--root", root, "--tls-port", 0, "--tls-cert", certificate, "--tls-key", key, *signing)
    return boto3.client("s3", endpoint_url=f"https://127.0.0.1:{store.tls_port}", verify=str(certificate), region_name=REGION,
                        aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET)


def test_tls_carries_ranges_and_whole_objects(encrypted, content, sparse_marks):
    assert encrypted.get_object(Bucket="models", Key="big.bin")["Body"].read() == content["big.bin"]
    for offset, mark in sparse_marks.items():
        answer = encrypted.get_object(Bucket="models", Key="sparse.gguf", Range=f"bytes={offset}-{offset + 6}")
        assert answer["Body"].read() == mark


def code(call, *arguments, **named):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def test_objects_with_odd_keys(s3, content):
    for key in [*ODD_KEYS, "empty"]:
        answer = s3.get_object(Bucket="models", Key=key)
        assert answer["Body"].read() == content[key], key
        head = s3.head_object(Bucket="models", Key=key)
        assert head["ContentLength"] == len(content[key])
        assert head["ETag"] == f'"{hashlib.md5(content[key]).hexdigest()}"' == answer["ETag"]


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_listings_page_through_every_key(s3, content, version):
    expected = sorted([*content, "sparse.gguf"], key=str.encode)
    pages = list(s3.get_paginator(version).paginate(Bucket="models", PaginationConfig={"PageSize": 4}))
    assert [o["Key"] for page in pages for o in page["Contents"]] == expected
    assert len(pages) == (len(expected) + 3) // 4
    sizes = {o["Key"]: o["Size"] for page in pages for o in page["Contents"]}
    assert all(sizes[key] == len(data) for key, data in content.items())


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_a_delimiter_folds_folders(s3, content, version):
    pages = list(s3.get_paginator(version).paginate(Bucket="models", Delimiter="/", PaginationConfig={"PageSize": 3}))
    groups = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
    assert groups == sorted({k.split("/")[0] + "/" for k in content if "/" in k}, key=str.encode)
    keys = [o["Key"] for page in pages for o in page.get("Contents", [])]
    assert sorted(keys) == sorted([k for k in content if "/" not in k] + ["sparse.gguf"])


def test_start_after_and_no_keys(s3):
    answer = s3.list_objects_v2(Bucket="models", Prefix="many/", StartAfter="many/020.bin", FetchOwner=True)
    assert [o["Key"] for o in answer["Contents"]] == [f"many/{n:03d}.bin" for n in range(21, 25)]
    assert answer["KeyCount"] == 4 and "Owner" in answer["Contents"][0]
    assert s3.list_objects_v2(Bucket="models", Prefix="none/")["KeyCount"] == 0
    assert not s3.list_objects_v2(Bucket="models", MaxKeys=0)["IsTruncated"]


def test_ranges(s3, content, sparse_marks):
    def read(key, text):
        answer = s3.get_object(Bucket="models", Key=key, Range=text)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        return answer["Body"].read()

    size = len(content["big.bin"])
    assert read("big.bin", "bytes=5-99999") == content["big.bin"][5:100_000]
    assert read("big.bin", f"bytes={size - 3}-{size + 1000}") == content["big.bin"][-3:]
    assert read("big.bin", "bytes=-10") == content["big.bin"][-10:]
    for offset, mark in sparse_marks.items():
        assert read("sparse.gguf", f"bytes={offset}-{offset + 6}") == mark
    assert code(s3.get_object, Bucket="models", Key="big.bin", Range=f"bytes={size}-") == (416, "InvalidRange")


def test_a_checksum_is_given_to_whom_asks(s3):
    answer = s3.head_object(Bucket="models", Key="big.bin", ChecksumMode="ENABLED")
    assert len(answer["ChecksumCRC64NVME"]) == 12 and answer["ChecksumType"] == "FULL_OBJECT"


def test_uploads_of_bytes_and_of_streams(s3):
    for key in ["up/small", "up/with space+plus%", "up/模型"]:
        data = key.encode() * 5000
        assert s3.put_object(Bucket="scratch", Key=key, Body=data)["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert s3.get_object(Bucket="scratch", Key=key)["Body"].read() == data
        s3.upload_fileobj(io.BytesIO(data + b"2"), "scratch", key, Config=TransferConfig(use_threads=False))
        assert s3.get_object(Bucket="scratch", Key=key)["Body"].read() == data + b"2"
        s3.delete_object(Bucket="scratch", Key=key)
        assert code(s3.get_object, Bucket="scratch", Key=key) == (404, "NoSuchKey")


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_stream_over_tls_comes_aws_chunked_with_a_trailer(encrypted, algorithm):
    s3 = encrypted
    sent = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers)))
    for size in (0, 1, 300_000):
        data = bytes(n % 251 for n in range(size))
        s3.put_object(Bucket="scratch", Key="chunked", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket="scratch", Key="chunked")["Body"].read() == data
        payload = sent[-1]["X-Amz-Content-SHA256"]
        assert payload in (b"STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


def test_a_parallel_download_gives_the_file(s3, content, tmp_path):
    config = TransferConfig(multipart_threshold=1 << 20, multipart_chunksize=1 << 20, max_concurrency=4)
    s3.download_file("models", "big.bin", str(tmp_path / "big"), Config=config)
    assert (tmp_path / "big").read_bytes() == content["big.bin"]


def test_presigned_urls_open_without_a_key(s3, content):
    for key in ODD_KEYS:
        url = s3.generate_presigned_url("get_object", {"Bucket": "models", "Key": key}, ExpiresIn=60)
        assert urllib.request.urlopen(url).read() == content[key], key


def test_temporary_keys_need_their_token(signed, content):
    def get(id, secret, token):
        return client(signed, key=id, secret=secret, token=token).get_object(Bucket="models", Key="plain.bin")

    assert get(STS_ID, STS_SECRET, STS_TOKEN)["Body"].read() == content["plain.bin"]
    assert code(get, STS_ID, STS_SECRET, "wrong") == (400, "InvalidToken")
    assert code(get, OLD_ID, OLD_SECRET, OLD_TOKEN) == (400, "ExpiredToken")


def test_errors_have_their_own_codes(signed, skewed):
    def get(s3, bucket="models", key="plain.bin"):
        return code(s3.get_object, Bucket=bucket, Key=key)

    assert get(client(signed, secret="no")) == (403, "SignatureDoesNotMatch")
    assert get(client(signed, key="nobody")) == (403, "InvalidAccessKeyId")
    assert get(client(signed), bucket="missing") == (404, "NoSuchBucket")
    assert get(client(signed), key="missing") == (404, "NoSuchKey")
    assert code(client(signed).head_object, Bucket="models", Key="missing") == (404, "404")
    assert get(client(skewed)) == (403, "RequestTimeTooSkewed")


def test_a_wrong_region_is_named_and_followed(signed, content):
    """botocore learns the right region from the answer and asks again."""
    assert code(client(signed, region="us-west-2").list_buckets) == (400, "AuthorizationHeaderMalformed")


def test_only_a_public_bucket_answers_the_nameless(signed):
    s3 = client(signed, signature=botocore.UNSIGNED)
    assert s3.get_object(Bucket="open", Key="hello.txt")["Body"].read() == b"hello"
    assert code(s3.get_object, Bucket="models", Key="plain.bin") == (403, "AccessDenied")
    assert code(s3.put_object, Bucket="open", Key="new", Body=b"x") == (403, "AccessDenied")


def test_buckets(s3):
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["models", "open", "scratch"]
    assert s3.head_bucket(Bucket="models")["BucketRegion"] == REGION
    assert s3.get_bucket_location(Bucket="models")["LocationConstraint"] == REGION


def test_conditions_on_the_etag(s3, content):
    tag = s3.head_object(Bucket="models", Key="plain.bin")["ETag"]
    assert s3.get_object(Bucket="models", Key="plain.bin", IfMatch=tag)["Body"].read() == content["plain.bin"]
    assert code(s3.get_object, Bucket="models", Key="plain.bin", IfMatch='"0"') == (412, "PreconditionFailed")
    assert code(s3.get_object, Bucket="models", Key="plain.bin", IfNoneMatch=tag) == (304, "304")
