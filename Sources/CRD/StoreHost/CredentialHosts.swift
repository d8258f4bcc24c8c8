/// The hosts at which a ModelCache's credentials may be used: those of stores, and those that the administrator adds.
///
/// A signature of OSS V1 covers bucket and key, not the host: a tenant's own host could take such a request and send it
/// on to the store. V4 covers the host, and yet a tenant learns key IDs and names of objects. So a name is here only if
/// no customer's machine has a name below it: `*.elb.amazonaws.com` must never match.
public struct CredentialHosts: Sendable, Equatable {
    /// Labels of a host's name; `*` in a label stands for one or more characters of that label.
    private var patterns: [[String]]

    private static let stores = [
        // OSS: https://help.aliyun.com/zh/oss/user-guide/regions-and-endpoints, by continent; the names with vpc are
        // older ones. Not `oss-*`: below oss-object-process.aliyuncs.com a bucket owner's function answers.
        "oss-cn-*.aliyuncs.com", "oss-ap-*.aliyuncs.com", "oss-us-*.aliyuncs.com", "oss-na-*.aliyuncs.com",
        "oss-eu-*.aliyuncs.com", "oss-me-*.aliyuncs.com", "oss-rg-*.aliyuncs.com", "oss-accelerate.aliyuncs.com",
        "oss-accelerate-overseas.aliyuncs.com", "oss-accesspoint.aliyuncs.com", "oss-data-acc.aliyuncs.com",
        "oss.aliyuncs.com", "vpc100-oss-cn-*.aliyuncs.com", "oss.*.privatelink.aliyuncs.com",
        // S3: https://docs.aws.amazon.com/general/latest/gr/s3.html. GovCloud has regions of amazonaws.com.
        "s3.amazonaws.com", "s3-*.amazonaws.com", "s3.*.amazonaws.com", "s3-fips.*.amazonaws.com",
        "s3.dualstack.*.amazonaws.com", "s3-fips.dualstack.*.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com",
        "s3-accesspoint.*.amazonaws.com", "s3-accesspoint-fips.*.amazonaws.com",
        "s3-accesspoint.dualstack.*.amazonaws.com", "s3-accesspoint-fips.dualstack.*.amazonaws.com",
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html
        "s3.*.vpce.amazonaws.com", "accesspoint.s3.*.vpce.amazonaws.com",
        "s3.*.amazonaws.com.cn", "s3.dualstack.*.amazonaws.com.cn", "s3-accesspoint.*.amazonaws.com.cn",
        "s3.*.vpce.amazonaws.com.cn",
        // https://developers.cloudflare.com/r2/api/s3/api/ and https://cloud.google.com/storage/docs/request-endpoints
        "r2.cloudflarestorage.com", "storage.googleapis.com", "storage.*.rep.googleapis.com",
        // The S3 endpoints of Backblaze, Wasabi, DigitalOcean, Tencent and Volcengine.
        "s3.*.backblazeb2.com", "s3.*.wasabisys.com", "*.digitaloceanspaces.com", "cos.*.myqcloud.com",
        "tos-s3-*.volces.com",
    ]

    /// The stores' own hosts alone.
    public init() { patterns = Self.stores.map(Self.labels) }

    /// The stores' own hosts and more; nil: an entry is no host.
    ///
    /// - Parameter list: hosts between commas, without scheme and port, such as `minio.storage.svc,10.0.0.*`. A name
    ///   includes the names below it, an address only itself. `*` stands for one or more characters of a label, and
    ///   alone for every host.
    public init?(adding list: String) {
        self.init()
        for entry in list.split(separator: ",", omittingEmptySubsequences: false) {
            let entry = entry.drop { $0 == " " }.lowercased()
            let labels = Self.labels(entry)
            guard !entry.isEmpty, entry.utf8.count <= 253, labels.allSatisfy(Self.isPattern) else { return nil }
            patterns.append(labels)
        }
    }

    /// - Parameter host: a name or an address, in any case, IPv6 without brackets; it need not be one that exists.
    public func allow(_ host: String) -> Bool {
        let host = Self.labels(host.lowercased())
        let isAddress = host.last.map { $0.contains(":") || $0.allSatisfy(\.isNumber) } ?? true
        return patterns.contains { pattern in
            if pattern == ["*"] { return true }
            guard isAddress ? host.count == pattern.count : host.count >= pattern.count else { return false }
            return zip(host.suffix(pattern.count), pattern).allSatisfy(Self.matches)
        }
    }

    /// The refusal of an endpoint, in the parts of an error.
    public static let problem =
        "is not a store's own host, and a ModelCache's credentials are used only at hosts that the administrator knows"
    public static let remedy =
        "write the store's own endpoint, read anonymously, or let the administrator add the host to credentialHosts of the "
        + "chart (--credential-hosts of the operator, MODELCACHE_CREDENTIAL_HOSTS of the agents)"

    /// How a list is written, as an error's remedy.
    public static let form =
        "write hosts without scheme and port, between commas, such as minio.storage.svc,10.0.0.*"

    private static func labels(_ host: some StringProtocol) -> [String] {
        (host.hasSuffix(".") ? String(host.dropLast()) : String(host))
            .split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    private static func isPattern(_ label: String) -> Bool {
        !label.isEmpty && label.utf8.count(where: { $0 == UInt8(ascii: "*") }) <= 1
            && label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "*"): true
                default: false
                }
            }
    }

    private static func matches(_ label: String, _ pattern: String) -> Bool {
        guard let star = pattern.firstIndex(of: "*") else { return label == pattern }
        let (head, tail) = (pattern[..<star], pattern[pattern.index(after: star)...])
        return label.utf8.count > head.utf8.count + tail.utf8.count && label.hasPrefix(head) && label.hasSuffix(tail)
    }
}
