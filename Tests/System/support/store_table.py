"""The table of stores and their oddities: one row a case, each with the document that it comes from.

test_store_table.py runs every row: `sha256sum` under the preload library while the model arrives, then `modelcache warm`.
`python Tests/System/support/store_table.py` prints the table as docs/stores.md has it.
"""
import dataclasses
import typing
import urllib.parse

OSS = "https://www.alibabacloud.com/help/en/oss/"
S3 = "https://docs.aws.amazon.com/AmazonS3/latest/"
INTEGRITY = S3 + "userguide/checking-object-integrity-upload.html"
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Case:
    """A row. Without `told` the model loads; with it the load ends, within a minute, with these words."""
    name: str
    scheme: str
    reference: str
    # The emulator's oddities: of the store, and of objects by key (Sources/DataPlane/DevStore/Oddities).
    store: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    objects: dict[str, dict[str, typing.Any]] = dataclasses.field(default_factory=dict)
    # The emulator's fault rules (Sources/DataPlane/DevStore/Faults).
    faults: tuple[dict[str, typing.Any], ...] = ()
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    prefix: str = "m/"
    told: str = ""
    # The model loads, and this is why `warm` warns that model.bin is not verified.
    unverified: str = ""
    # What is wrong shows with the last byte: a reader may have ended by then, unless the agent shows nothing before (semantics 6).
    strict: bool = False
    # Where it runs: the emulator or a server by its name.
    server: str = "emulator"

    @property
    def label(self) -> str:
        return f"{self.server}, {self.scheme}: {self.name}"

    @property
    def oddities(self) -> dict[str, typing.Any]:
        return {"rules": [{"key": key, **rule} for key, rule in self.objects.items()], **self.store}


def _refused(status: int, code: str, message: str, **more: typing.Any) -> dict[str, typing.Any]:
    return {"refusal": {"status": status, "code": code, "message": message}, **more}


PAYS = {"MODELCACHE_REQUEST_PAYER": "requester"}
OTHER = "m/other.bin"
BIG = "m/model.bin"

LOADS = [
    Case("nothing odd", "oss", OSS),
    Case("nothing odd", "s3", S3),
    Case("an empty `Content-Encoding`", "s3", "RFC 9110, 8.4", objects={BIG: {"contentEncoding": ""}}),
    Case("`Content-Encoding: gzip`", "s3", S3 + "userguide/UsingMetadata.html", objects={BIG: {"contentEncoding": "gzip"}}),
    Case("`Content-Encoding: gzip`", "oss", OSS + "developer-reference/putobject", objects={BIG: {"contentEncoding": "gzip"}}),
    Case("`Content-Encoding: aws-chunked`", "s3", S3 + "API/sigv4-streaming.html", objects={BIG: {"contentEncoding": "aws-chunked"}}),
    Case("`Content-Encoding: identity`", "s3", "RFC 9110, 8.4", objects={BIG: {"contentEncoding": "identity"}}),
    Case("an entity tag that is no MD5", "s3", S3 + "API/API_Object.html", objects={"m/*": {"entityTag": "other"}}),
    Case("an entity tag that is no MD5", "oss", OSS + "developer-reference/headobject", objects={"m/*": {"entityTag": "other"}}),
    *[Case(f"composite {name}, parts told by {told}", "s3", INTEGRITY,
           objects={BIG: {"partBytes": 2 * MIB, "checksum": name, "partsToldBy": told}})
      for name, told in [("CRC32", "attributes"), ("CRC32", "numbers"), ("CRC32C", "attributes"), ("SHA1", "numbers"),
                         ("SHA256", "attributes"), ("SHA256", "numbers")]],
    Case("uploaded in parts, full CRC64NVME", "s3", INTEGRITY,
         objects={BIG: {"partBytes": 2 * MIB, "checksum": "CRC64NVME"}}),
    *[Case(f"full {name}, entity tag no MD5", "s3", INTEGRITY,
           objects={"m/*": {"checksum": name, "entityTag": "other"}}) for name in ("CRC32", "CRC32C", "SHA1", "SHA256")],
    Case("encrypted with KMS", "s3", S3 + "API/API_Object.html", objects={"m/*": {"kms": True}}),
    Case("encrypted with KMS", "oss", OSS + "user-guide/server-side-encryption-8", objects={"m/*": {"kms": True}}),
    Case("a symlink", "oss", OSS + "developer-reference/putsymlink", objects={BIG: {"symlink": "targets/model.bin"}}),
    Case("the listing has another size", "s3", "gateways over encrypted volumes", objects={BIG: {"listedSize": 5}}),
    Case("the listing has another tag", "oss", "gateways", objects={"m/config.json": {"listedEntityTag": "other"}}),
    Case("the listing has no tags", "s3", "gateways", objects={"m/*": {"listedEntityTag": ""}}),
    Case("1,100 objects, encoded tokens", "oss", OSS + "developer-reference/listobjectsv2", store={"encodedTokens": True}, prefix="many/"),
    Case("1,100 objects, plain tokens", "oss", "oss2, parse_list_objects_v2", prefix="many/"),
    Case("1,100 objects", "s3", "botocore, decode_list_object_v2", prefix="many/"),
    Case("the requester pays", "s3", S3 + "userguide/RequesterPaysBuckets.html", store={"requesterPays": True}, settings=PAYS),
    Case("the requester pays", "oss", OSS + "user-guide/enable-pay-by-requester", store={"requesterPays": True}, settings=PAYS),
    Case("a restored archive", "oss", OSS + "user-guide/restore-objects", objects={BIG: {"storageClass": "ColdArchive", "restore": "done"}}),
    Case("a restored archive", "s3", S3 + "userguide/restoring-objects.html", objects={BIG: {"storageClass": "GLACIER", "restore": "done"}}),
    Case("a folder's slash before a combining mark", "s3", "a slash and a mark are one character to Swift",
         store={"objects": [{"key": "m/a/%CC%81b.txt", "text": "x\n"}]}),
    Case("an empty object for a folder", "oss", OSS + "user-guide/manage-directories",
         store={"objects": [{"key": "m/sub/", "text": ""}, {"key": "m/", "text": ""}]}),
    *[Case("a key of 1,024 bytes", scheme, reference,
           store={"objects": [{"key": "m/" + "/".join("d" * n for n in (203, 203, 203, 203, 206)), "text": "x\n"}]})
      for scheme, reference in (("s3", S3 + "userguide/object-keys.html"), ("oss", OSS + "user-guide/object-overview-1"))],
    Case("infrequent access", "oss", OSS + "user-guide/overview-53", objects={BIG: {"storageClass": "IA"}}),
    Case("GLACIER_IR", "s3", S3 + "userguide/storage-class-intro.html", objects={BIG: {"storageClass": "GLACIER_IR"}}),
    Case("throttled, `x-oss-qos-delay-time`", "oss", OSS + "developer-reference/error-codes-1",
         faults=({"match": {"ranged": True}, "action": {"status": 503, "code": "DownloadTrafficRateLimitExceeded", "qosDelayMs": 200}, "count": 3},)),
    Case("throttled, `Retry-After`", "s3", S3 + "API/ErrorResponses.html",
         faults=({"match": {"ranged": True}, "action": {"status": 503, "retryAfter": 1}, "count": 2},)),
    Case("the listing is throttled", "s3", S3 + "API/ErrorResponses.html",
         faults=({"match": {"listing": True}, "action": {"status": 503, "retryAfter": 1}, "count": 1},)),
]

NO_CHECKSUM = "the store has no checksum of the complete object"

# Nothing proves the bytes: the model loads with one warning, and no reader is ended.
UNVERIFIED = [
    Case("an entity tag that is no MD5, no checksum", "s3", S3 + "API/API_Object.html",
         objects={"m/*": {"checksum": "none", "entityTag": "other"}}, unverified="its entity tag is not its MD5"),
    Case("encrypted with KMS, no checksum", "s3", S3 + "API/API_Object.html", objects={BIG: {"kms": True, "checksum": "none"}},
         unverified=NO_CHECKSUM),
    Case("uploaded in parts, no checksum", "s3", S3 + "API/API_Object.html", objects={BIG: {"partBytes": 2 * MIB, "checksum": "none"}},
         unverified=NO_CHECKSUM),
    Case("composite SHA256, parts not told", "s3", INTEGRITY,
         objects={BIG: {"partBytes": 2 * MIB, "checksum": "SHA256", "partsToldBy": "none"}}, unverified=NO_CHECKSUM),
    Case("older than the CRC-64", "oss", OSS + "developer-reference/headobject", objects={"m/*": {"checksum": "none"}},
         unverified=NO_CHECKSUM),
    Case("older than the CRC-64, another entity tag", "oss", OSS + "developer-reference/headobject",
         objects={"m/*": {"checksum": "none", "entityTag": "other"}}, unverified=NO_CHECKSUM),
]

SERVERS = [Case("keys with spaces, `+` and Chinese, empty, in parts", "s3", reference, server=name) for name, reference in {
    "moto": "https://docs.getmoto.org/en/latest/docs/services/s3.html",
    "rclone": "https://rclone.org/commands/rclone_serve_s3/",
    "localbucket": "https://pypi.org/project/localbucket/",
    "nanio": "https://pypi.org/project/nanio/",
    "hadro": "https://pypi.org/project/hadro/",
}.items()]

# One object cannot be read; the others load and it is named.
UNREADABLE = [
    Case("archived", "oss", OSS + "user-guide/restore-objects", objects={OTHER: {"storageClass": "Archive"}}, told="restore it"),
    Case("archived", "s3", S3 + "userguide/restoring-objects.html", objects={OTHER: {"storageClass": "DEEP_ARCHIVE"}}, told="restore it"),
    Case("being restored", "oss", OSS + "user-guide/restore-objects", objects={OTHER: {"storageClass": "ColdArchive", "restore": "ongoing"}},
         told="is being restored"),
    Case("a symlink to nothing", "oss", OSS + "developer-reference/getobject", objects={OTHER: {"symlink": "targets/nothing"}},
         told="other.bin"),
    *[Case(name + (", HEAD too" if head else ""), scheme, reference, objects={OTHER: _refused(*answer, refusesHead=head)}, told=told)
      for name, answer, told in [
          ("no right", (403, "AccessDenied", "Access Denied"), "grant the key"),
          ("no right on the KMS key", (403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource"), "kms:Decrypt"),
          ("a disabled KMS key", (400, "KMS.DisabledException", "The key is disabled"), "kms:Decrypt"),
          ("deleted after the listing", (404, "NoSuchKey", "The specified key does not exist."), "other.bin"),
          ("its version deleted", (404, "NoSuchVersion", "The specified version does not exist."), "other.bin")]
      for scheme, reference in [("oss", OSS + "developer-reference/error-codes-1"), ("s3", S3 + "API/ErrorResponses.html")]
      for head in (False, True)],
]

REFUSED = [
    Case("the requester pays, nobody agreed", "oss", OSS + "user-guide/enable-pay-by-requester", store={"requesterPays": True},
         told="MODELCACHE_REQUEST_PAYER=requester"),
    Case("the requester pays, nobody agreed", "s3", S3 + "userguide/RequesterPaysBuckets.html", store={"requesterPays": True},
         told="MODELCACHE_REQUEST_PAYER=requester"),
    *[Case(f"bytes that a composite {name} disproves", "s3", INTEGRITY, objects={BIG: {"partBytes": 2 * MIB, "checksum": name}},
           faults=({"match": {"key": BIG}, "action": {"flipByte": 5}},), told=f"model.bin: its {kind} is", strict=True)
      for name, kind in (("CRC32", "CRC-32"), ("SHA256", "composite sha256"))],
    *[Case("a server that ignores Range", scheme, "RFC 9110, 14.2", faults=({"match": {"ranged": True}, "action": {"ok200": True}},),
           told="200 in place of 206: the server, or a proxy between, ignores Range") for scheme in ("oss", "s3")],
    *[Case("a proxy changes the bytes", scheme, "RFC 9110, 7.7", objects={BIG: {"contentEncoding": "deflate", "packedByProxy": True}},
           told="encoded as deflate, a proxy between may compress") for scheme in ("oss", "s3")],
]

# Keys that cannot be files; each is left out with a warning, and the model loads.
ODD_KEYS = {
    "two slashes": "m//stray.txt", "a dot": "m/./a", "dots": "m/../a", "dots at the end": "m/a/..", "a control character": "m/a\x01b",
    "a line feed": "m/a\nb", "no UTF-8": "m/\udcff\udcfe", "too long": "m/" + "x" * 300, "a folder with bytes": "m/folder/",
    "dots before a combining mark": "m/../\u0301a", "our own folder before a combining mark": "m/.partial/\u0301a",
    "a folder's name below a file": "m/model.bin/stray", "our own folder": "m/.partial/x", "our own state": "m/.modelcache/x", "the prefix with bytes": "m/",
}


def odd_object(key: str) -> dict[str, str]:
    return {"key": urllib.parse.quote(key, safe="/", errors="surrogateescape"), "text": "x\n"}


KEYS = [
    *[Case(f"a key that is no file's: {name}", "s3", OSS + "user-guide/object-overview-1", store={"objects": [odd_object(key)]})
      for name, key in ODD_KEYS.items()],
    Case("every key that is no file's", "oss", OSS + "user-guide/object-overview-1",
         store={"objects": [odd_object(key) for key in ODD_KEYS.values()]}),
]


def markdown() -> str:
    lines = ["| store | what is odd | what happens | source |", "| --- | --- | --- | --- |"]
    happens = [(LOADS, "loads"), (UNVERIFIED, "loads; the object is named as not verified"), (SERVERS, "loads"), (KEYS, "loads; the key is named and left out"),
               (UNREADABLE, "the object is named, the others load"), (REFUSED, "ends, and says why")]
    for rows, outcome in happens:
        for case in rows:
            source = f"[{case.reference.rstrip('/').split('/')[-1]}]({case.reference})" if case.reference.startswith("http") else case.reference
            lines.append(f"| {case.server}, `{case.scheme}://` | {case.name} | {outcome} | {source} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
