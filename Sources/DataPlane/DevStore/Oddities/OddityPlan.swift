/// How the store differs from a plain one, as real stores do: a pure value. Each member names the document that it
/// comes from. Faults (`FaultPlan`) are what goes wrong; an oddity is right, and clients must live with it.
package struct OddityPlan: Sendable, Codable, Equatable {
    /// The first rule whose `key` matches an object's key holds for it.
    package var rules: [OddityRule]
    /// Objects that no directory can hold, besides the bucket's files.
    package var objects: [OddObject]
    /// Requests without `x-oss-request-payer` or `x-amz-request-payer: requester` are refused.
    ///
    /// https://www.alibabacloud.com/help/en/oss/user-guide/enable-pay-by-requester,
    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html
    package var requesterPays: Bool
    /// OSS: with `encoding-type=url` the continuation token is percent-coded as the keys are.
    ///
    /// https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2
    package var encodedTokens: Bool

    package init(
        rules: [OddityRule] = [], objects: [OddObject] = [], requesterPays: Bool = false, encodedTokens: Bool = false
    ) {
        self.rules = rules
        self.objects = objects
        self.requesterPays = requesterPays
        self.encodedTokens = encodedTokens
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        rules = try values.decodeIfPresent([OddityRule].self, forKey: .rules) ?? []
        objects = try values.decodeIfPresent([OddObject].self, forKey: .objects) ?? []
        requesterPays = try values.decodeIfPresent(Bool.self, forKey: .requesterPays) ?? false
        encodedTokens = try values.decodeIfPresent(Bool.self, forKey: .encodedTokens) ?? false
    }

    /// The rule for an object; one without members when none matches.
    package func rule(_ key: String) -> OddityRule {
        rules.first { Glob.matches(Array($0.key.utf8)[...], Array(key.utf8)[...]) } ?? OddityRule(key: "")
    }
}

/// An object whose key may be anything: two slashes, `..`, control characters, bytes that are no UTF-8.
///
/// https://www.alibabacloud.com/help/en/oss/user-guide/object-overview-1 names the few rules of a key.
package struct OddObject: Sendable, Codable, Equatable {
    /// The key, percent-coded; a listing with `encoding-type=url` shows it as it is written here.
    package var key: String
    /// The content.
    package var text: String

    package init(key: String, text: String) {
        self.key = key
        self.text = text
    }

    /// The key as text; bytes that are no UTF-8 become U+FFFD, and such an object is listed but cannot be read.
    var name: String {
        var bytes: [UInt8] = []
        var rest = Array(key.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The oddities of the objects whose key matches.
package struct OddityRule: Sendable, Codable, Equatable {
    /// Glob over the key, as in fault plans.
    package var key: String
    /// The listing's and HEAD's class. Archived ones (`Archive`, `ColdArchive`, `DeepColdArchive`, `GLACIER`,
    /// `DEEP_ARCHIVE`) refuse GET with 403 InvalidObjectState until they are restored.
    ///
    /// https://www.alibabacloud.com/help/en/oss/user-guide/restore-objects,
    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
    package var storageClass: String?
    /// `ongoing` or `done`: an archived object's restoration, shown as `x-oss-restore` or `x-amz-restore`.
    package var restore: String?
    /// Encrypted with a KMS key: the entity tag is no MD5, and HEAD shows the encryption.
    ///
    /// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag),
    /// https://www.alibabacloud.com/help/en/oss/user-guide/server-side-encryption-8
    package var kms: Bool?
    /// OSS: a link to the object with this key. The listing has the link's own size, 0, and tag; HEAD and GET the
    /// target's. 404 SymlinkTargetNotExist where there is none.
    ///
    /// https://www.alibabacloud.com/help/en/oss/developer-reference/putsymlink
    package var symlink: String?
    /// `other`: a tag that looks like an MD5 and is none. OSS: an ETag is the MD5 only of objects by PutObject.
    ///
    /// https://www.alibabacloud.com/help/en/oss/developer-reference/headobject
    package var entityTag: String?
    /// S3: the object was uploaded in parts of so many bytes: its tag is the MD5 of the parts' MD5s with their number,
    /// its checksum is composite unless it is CRC64NVME, and `partNumber` asks for a part with its checksum.
    ///
    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    package var partBytes: Int64?
    /// S3: how an object's parts can be asked for: `attributes` (GetObjectAttributes), `numbers` (HEAD with
    /// `partNumber`) or `none`; absent: both. Gateways know few of S3's requests, and GetObjectAttributes needs a right
    /// of its own.
    ///
    /// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
    package var partsToldBy: String?
    /// S3: `CRC64NVME`, `CRC32`, `CRC32C`, `SHA1`, `SHA256` or `none`; OSS: `none` for objects that are older than
    /// OSS's CRC-64.
    package var checksum: String?
    /// `Content-Encoding` of HEAD and GET, as the object was stored; may be empty.
    ///
    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    package var contentEncoding: String?
    /// Gateways: the listing shows another size than HEAD.
    package var listedSize: Int64?
    /// Gateways: the listing shows another tag than HEAD, or "" for none.
    package var listedEntityTag: String?
    /// GET is refused so; HEAD too where `refusesHead` is set.
    ///
    /// https://www.alibabacloud.com/help/en/oss/developer-reference/error-codes-1,
    /// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    package var refusal: Refusal?
    package var refusesHead: Bool?
    /// A proxy between packs the bytes of GET (RFC 9110, 7.7, forbids it without saying so): other bytes arrive, in
    /// other number.
    package var packedByProxy: Bool?

    package struct Refusal: Sendable, Codable, Equatable {
        package var status: Int
        package var code: String
        package var message: String

        package init(status: Int, code: String, message: String) {
            self.status = status
            self.code = code
            self.message = message
        }
    }

    package init(key: String) { self.key = key }

    /// The queries that ask for parts and that the store knows.
    var partQueries: Set<String> {
        guard partBytes != nil else { return [] }
        return switch partsToldBy {
        case "attributes": ["attributes"]
        case "numbers": ["partNumber"]
        case "none": []
        default: ["attributes", "partNumber"]
        }
    }

    /// Whether GET is refused until the object is restored.
    var isArchived: Bool {
        let classes = ["archive", "coldarchive", "deepcoldarchive", "glacier", "deep_archive"]
        return classes.contains((storageClass ?? "").lowercased()) && restore != "done"
    }
}
