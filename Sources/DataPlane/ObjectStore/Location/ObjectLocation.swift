public import TextCoding

/// Which protocol a location speaks.
public enum StoreScheme: String, Sendable, Hashable, CaseIterable {
    /// Alibaba Cloud OSS: signature V1 or V4, `x-oss-` headers.
    case oss
    /// Any S3-compatible store: signature V4, `x-amz-` headers.
    case s3
}

/// A prefix in a bucket, `oss://bucket/prefix/` or `s3://bucket/prefix/`, or one object, `oss://bucket/path/a.gguf`.
///
/// The prefix is empty (the whole bucket) or ends in `/`, so that `models/a` never matches `models/ab`.
/// It is taken as written, not percent-decoded. A text without a final slash may mean either: the store decides
/// (``StoreClient/catalog(include:doubted:maximumPages:within:)``).
public struct ObjectLocation: Sendable, Hashable, CustomStringConvertible {
    public let scheme: StoreScheme
    public let bucket: String
    /// Empty or ending in `/`; never starting with `/`.
    public let prefix: String
    public let scope: Scope

    /// Which objects below the prefix are meant.
    public enum Scope: Sendable, Hashable {
        /// All.
        case prefix
        /// All, or the one object whose key is the prefix without its slash: the store was not asked yet.
        case undecided
        /// These alone, by their keys below the prefix.
        case objects([String])
    }

    /// Parses `text`. `field` is the setting's name for the error.
    public init(parsing text: String, field: String = "OSS_PATH") throws(SettingError) {
        let remedy = "write it as oss://bucket/prefix/ or s3://bucket/prefix/"
        func wrong(_ problem: String, _ advice: String? = nil) -> SettingError {
            SettingError(field: field, value: text, problem: problem, remedy: advice ?? remedy)
        }
        guard !text.isEmpty else {
            throw SettingError(field: field, value: nil, problem: "is not set", remedy: remedy)
        }
        guard let colon = text.firstRange(of: "://") else { throw wrong("has no scheme") }
        let schemeText = text[..<colon.lowerBound].lowercased()
        guard let scheme = StoreScheme(rawValue: schemeText) else {
            throw wrong("has the unknown scheme \"\(schemeText)\"")
        }
        let rest = text[colon.upperBound...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let bucket = String(rest[..<slash])
        var prefix = slash == rest.endIndex ? "" : String(rest[rest.index(after: slash)...])
        if let problem = BucketName.problem(with: bucket) {
            throw wrong(
                "names the bucket \"\(bucket)\", which \(problem)",
                "write a bucket name of 3 to 63 lowercase letters, digits and hyphens")
        }
        if prefix.hasPrefix("/") {
            throw wrong("has an empty path segment after the bucket", "write one / after the bucket")
        }
        if prefix.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) {
            throw wrong("has a control character in its prefix", "remove it")
        }
        if prefix.utf8.count > 1023 {
            throw wrong("has a prefix longer than 1023 bytes", "no object can be under it: shorten it")
        }
        scope = prefix.isEmpty || prefix.hasSuffix("/") ? .prefix : .undecided
        if scope == .undecided { prefix += "/" }
        self.scheme = scheme
        self.bucket = bucket
        self.prefix = prefix
    }

    private init(_ other: ObjectLocation, prefix: String, scope: Scope) {
        scheme = other.scheme
        bucket = other.bucket
        self.prefix = prefix
        self.scope = scope
    }

    /// The key that the text names if it names an object; nil for the whole bucket.
    public var objectKey: String? { prefix.isEmpty ? nil : String(prefix.dropLast()) }

    /// The same text, found to be a prefix.
    var asPrefix: ObjectLocation { ObjectLocation(self, prefix: prefix, scope: .prefix) }

    /// The same text, found to be an object: of a split model's first part, all its parts.
    var asObject: ObjectLocation {
        let key = prefix.dropLast()
        let slash = key.lastIndex(of: "/").map { key.index(after: $0) } ?? key.startIndex
        let name = String(key[slash...])
        return ObjectLocation(
            self, prefix: String(key[..<slash]), scope: .objects(SplitModel.parts(ofFirst: name) ?? [name]))
    }

    /// Whether both texts name the same, as far as one can say without asking the store.
    public func isSame(as other: ObjectLocation) -> Bool {
        (scheme, bucket, prefix) == (other.scheme, other.bucket, other.prefix)
    }

    /// The key below the prefix, or nil for a key that is not under it.
    public func relativeKey(_ key: String) -> String? {
        guard key.utf8.starts(with: prefix.utf8) else { return nil }
        return String(decoding: key.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    /// `oss://bucket/prefix/` or `oss://bucket/path/a.gguf`, parsable again.
    public var description: String {
        let key =
            switch scope {
            case .prefix: prefix
            case .undecided: String(prefix.dropLast())
            case .objects(let names): prefix + (names.first ?? "")
            }
        return "\(scheme.rawValue)://\(bucket)/\(key)"
    }
}

/// The rules for bucket names.
///
/// OSS: 3 to 63 lowercase letters, digits and hyphens, first and last no hyphen. S3 allows dots as well; they are
/// accepted for `s3` and `oss` alike, since an S3-compatible store may hold them.
enum BucketName {
    /// The fault of the name, as the end of "which …", or nil.
    static func problem(with name: String) -> String? {
        if name.isEmpty { return "is empty" }
        guard (3...63).contains(name.utf8.count) else { return "is not 3 to 63 characters long" }
        for byte in name.utf8 where !isAllowed(byte) {
            return "holds a character other than lowercase letters, digits, hyphens and dots"
        }
        for edge in [name.utf8.first, name.utf8.last] where edge == 0x2d || edge == 0x2e {
            return "starts or ends with a hyphen or dot"
        }
        return name.contains("..") ? "has two dots in a row" : nil
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), 0x2d, 0x2e: true
        default: false
        }
    }
}
