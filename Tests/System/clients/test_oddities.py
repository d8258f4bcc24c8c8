"""The emulator's oddities as the official SDKs see them: what a real store does, they accept or refuse with its own code."""
import boto3
import botocore
import oss2
import pytest
from botocore.config import Config
from oss2.credentials import StaticCredentialsProvider

from conftest import KEY_ID, REGION, SECRET

MANY = [{"key": f"odd%2F{i:03}", "text": "x"} for i in range(12)]


@pytest.fixture
def odd(signed):
    """odd(plan): the emulator with these oddities."""
    yield lambda **plan: signed.admin("PUT", "/oddities", plan)
    signed.admin("DELETE", "/oddities")


@pytest.fixture(params=["v1", "v4"])
def bucket(request, signed):
    provider = StaticCredentialsProvider(KEY_ID, SECRET)
    auth = oss2.ProviderAuth(provider) if request.param == "v1" else oss2.ProviderAuthV4(provider)
    return oss2.Bucket(auth, signed.oss, "models", region=REGION)


@pytest.fixture
def s3(signed):
    return boto3.client(
        "s3", endpoint_url=signed.address, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET, region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def test_oss2_walks_pages_with_coded_tokens(odd, bucket):
    odd(encodedTokens=True, objects=MANY)
    keys, token = [], ""
    while True:
        page = bucket.list_objects_v2(prefix="odd/", continuation_token=token, max_keys=5)
        keys += [entry.key for entry in page.object_list]
        token = page.next_continuation_token
        if not page.is_truncated:
            break
    assert keys == [f"odd/{i:03}" for i in range(12)]


def test_oss2_sees_links_archives_and_restorations(odd, bucket, content):
    odd(rules=[{"key": "plain.bin", "symlink": "with space.txt"}, {"key": "big.bin", "storageClass": "Archive"}])
    listed = {entry.key: entry for entry in bucket.list_objects_v2(max_keys=1000).object_list}
    assert listed["plain.bin"].type == "Symlink" and listed["plain.bin"].size == 0
    assert bucket.get_object("plain.bin").read() == content["with space.txt"]
    assert bucket.head_object("big.bin").headers["x-oss-storage-class"] == "Archive"
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        bucket.get_object("big.bin")
    assert (refused.value.status, refused.value.code) == (403, "InvalidObjectState")
    odd(rules=[{"key": "big.bin", "storageClass": "Archive", "restore": "done"}])
    assert bucket.get_object("big.bin").read() == content["big.bin"]


def test_oss2_agrees_to_pay(odd, bucket, content):
    odd(requesterPays=True)
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.get_object("plain.bin")
    assert bucket.get_object("plain.bin", headers={"x-oss-request-payer": "requester"}).read() == content["plain.bin"]


@pytest.mark.parametrize("checksum", ["CRC32", "SHA1", "SHA256"])
def test_boto3_checks_full_checksums_and_accepts_composite_ones(checksum, odd, s3, content):
    odd(rules=[{"key": "big.bin", "partBytes": 4 << 20, "checksum": checksum}, {"key": "plain.bin", "checksum": checksum}])
    for key in ("big.bin", "plain.bin"):
        assert s3.get_object(Bucket="models", Key=key, ChecksumMode="ENABLED")["Body"].read() == content[key]
    head = s3.head_object(Bucket="models", Key="big.bin", ChecksumMode="ENABLED")
    assert head["ChecksumType"] == "COMPOSITE" and head[f"Checksum{checksum}"].endswith("-3") and head["ETag"].endswith('-3"')
    part = s3.head_object(Bucket="models", Key="big.bin", PartNumber=3, ChecksumMode="ENABLED")
    listed = s3.get_object_attributes(Bucket="models", Key="big.bin", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert listed["TotalPartsCount"] == 3 and listed["Parts"][2][f"Checksum{checksum}"] == part[f"Checksum{checksum}"]
    assert part["PartsCount"] == 3 and part["ContentLength"] == len(content["big.bin"]) - (8 << 20)


def test_boto3_sees_archives_encryption_and_the_payer(odd, s3, content):
    odd(rules=[{"key": "big.bin", "storageClass": "GLACIER"}, {"key": "plain.bin", "kms": True, "contentEncoding": "gzip"}])
    assert s3.head_object(Bucket="models", Key="big.bin")["StorageClass"] == "GLACIER"
    with pytest.raises(s3.exceptions.InvalidObjectState):
        s3.get_object(Bucket="models", Key="big.bin")
    head = s3.head_object(Bucket="models", Key="plain.bin")
    assert head["ServerSideEncryption"] == "aws:kms" and head["ContentEncoding"] == "gzip"
    odd(requesterPays=True)
    with pytest.raises(botocore.exceptions.ClientError):
        s3.get_object(Bucket="models", Key="plain.bin")
    paid = s3.get_object(Bucket="models", Key="plain.bin", RequestPayer="requester")
    assert paid["Body"].read() == content["plain.bin"]
