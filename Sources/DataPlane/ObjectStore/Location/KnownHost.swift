/// The public stores whose host names say something: region, addressing, and whether a bucket is in the name already.
///
/// Sources: https://www.alibabacloud.com/help/en/oss/user-guide/regions-and-endpoints,
/// https://docs.aws.amazon.com/general/latest/gr/s3.html, and each store's page on its S3 interface. A pure value.
struct KnownHost: Sendable, Hashable {
    enum Style: Sendable, Hashable {
        /// The bucket in the host name; the store refuses the path.
        case virtualHost
        /// Both; the path where TLS could not match a dotted bucket's name.
        case either
        /// The bucket in the path.
        case path
    }

    /// The host without a bucket, such as `oss-cn-hangzhou.aliyuncs.com`.
    let service: String
    let region: String?
    let style: Style
    /// The host that serves the same bucket when this one is away.
    var fallback: String?

    /// Nil: no host that is known.
    init?(_ host: String) {
        let labels = host.split(separator: ".").map(String.init)
        if let known = KnownHost.alibaba(labels) ?? KnownHost.amazon(labels) ?? KnownHost.other(labels) {
            self = known
        } else {
            return nil
        }
    }

    private init(_ labels: some Sequence<String>, region: String?, style: Style, fallback: String? = nil) {
        service = labels.joined(separator: ".")
        self.region = region
        self.style = style
        self.fallback = fallback
    }

    private static func alibaba(_ labels: [String]) -> KnownHost? {
        guard labels.suffix(2) == ["aliyuncs", "com"], labels.count >= 3 else { return nil }
        let end = labels.count
        // <zone>[-internal].oss-data-acc.aliyuncs.com, the OSS accelerator; the region's own endpoint serves the same.
        // https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketdataaccelerator
        if end >= 4, labels[end - 3] == "oss-data-acc" {
            let (zone, isInternal) = withoutInternal(labels[end - 4])
            let region = region(ofZone: zone)
            return KnownHost(
                labels[(end - 4)...], region: region, style: .virtualHost,
                fallback: "oss-\(region)\(isInternal ? "-internal" : "").aliyuncs.com")
        }
        // <region>.oss.aliyuncs.com answers on IPv6 too.
        if end >= 4, labels[end - 3] == "oss" {
            return KnownHost(labels[(end - 4)...], region: withoutInternal(labels[end - 4]).region, style: .virtualHost)
        }
        let name = labels[end - 3]
        guard let mark = name.firstRange(of: "oss-"), name.hasPrefix("oss-") || name.hasPrefix("vpc") else {
            return nil
        }
        let place = withoutInternal(String(name[mark.upperBound...])).region
        guard !place.isEmpty else { return nil }
        // s3.oss-<region>.aliyuncs.com speaks the S3 dialect.
        let begin = end >= 4 && labels[end - 4] == "s3" ? end - 4 : end - 3
        return KnownHost(
            labels[begin...], region: place.hasPrefix("accelerate") ? nil : place, style: .virtualHost)
    }

    /// `cn-beijing-h` is a zone of `cn-beijing`, `ap-southeast-1c` one of `ap-southeast-1`.
    private static func region(ofZone zone: String) -> String {
        let bytes = Array(zone.utf8)
        guard bytes.count > 2, let last = bytes.last, (0x61...0x7a).contains(last) else { return zone }
        switch bytes[bytes.count - 2] {
        case UInt8(ascii: "-"): return String(zone.dropLast(2))
        case 0x30...0x39: return String(zone.dropLast())
        default: return zone
        }
    }

    private static func withoutInternal(_ name: String) -> (region: String, isInternal: Bool) {
        name.hasSuffix("-internal") ? (String(name.dropLast(9)), true) : (name, false)
    }

    /// Amazon S3 with its partitions (`amazonaws.com.cn`), FIPS, dual-stack, accelerated and private (VPC) names.
    private static func amazon(_ labels: [String]) -> KnownHost? {
        let end: Int
        if labels.suffix(2) == ["amazonaws", "com"] {
            end = labels.count - 2
        } else if labels.suffix(3) == ["amazonaws", "com", "cn"] {
            end = labels.count - 3
        } else {
            return nil
        }
        if labels[..<end].contains("vpce") {
            guard end >= 4, let mark = labels[..<end].lastIndex(of: "vpce"), mark >= 3 else { return nil }
            let begin = labels[..<mark].lastIndex { $0.hasPrefix("vpce-") } ?? 0
            return KnownHost(labels[max(0, begin - 1)...], region: labels[mark - 1], style: .either)
        }
        guard let begin = labels[..<end].lastIndex(where: { $0 == "s3" || $0.hasPrefix("s3-") }) else { return nil }
        let name = labels[begin]
        var rest = labels[(begin + 1)..<end].filter { $0 != "dualstack" }
        if name.hasPrefix("s3-accelerate") { return KnownHost(labels[begin...], region: nil, style: .virtualHost) }
        guard rest.count <= 1 else { return nil }
        // s3-<region> is the former way to write it; s3.amazonaws.com and s3-external-1 are in us-east-1.
        if rest.isEmpty, name.hasPrefix("s3-"), name != "s3-external-1", name != "s3-fips" {
            rest = [String(name.dropFirst(3))]
        }
        return KnownHost(labels[begin...], region: rest.first ?? "us-east-1", style: .either)
    }

    private static func other(_ labels: [String]) -> KnownHost? {
        let end = labels.count
        func ends(_ text: String) -> Bool { labels.joined(separator: ".").hasSuffix("." + text) }
        // Cloudflare R2 and Google Cloud Storage know one region, by this name.
        if ends("r2.cloudflarestorage.com") {
            let begin = end - (end >= 5 && ["eu", "fedramp"].contains(labels[end - 4]) ? 5 : 4)
            return KnownHost(labels[max(0, begin)...], region: "auto", style: .either)
        }
        if labels == ["storage", "googleapis", "com"] || ends("storage.googleapis.com") {
            return KnownHost(["storage", "googleapis", "com"], region: "auto", style: .either)
        }
        if end >= 4, labels[end - 4] == "s3", ends("backblazeb2.com") || ends("wasabisys.com") {
            return KnownHost(labels[(end - 4)...], region: labels[end - 3], style: .either)
        }
        if end >= 3, ends("digitaloceanspaces.com") {
            return KnownHost(labels[(end - 3)...], region: labels[end - 3], style: .either)
        }
        // Tencent and Volcengine refuse the path.
        if end >= 4, ends("myqcloud.com"), labels[end - 4] == "cos" {
            return KnownHost(labels[(end - 4)...], region: labels[end - 3], style: .virtualHost)
        }
        if end >= 3, ends("volces.com"), labels[end - 3].hasPrefix("tos-s3-") {
            return KnownHost(labels[(end - 3)...], region: String(labels[end - 3].dropFirst(7)), style: .virtualHost)
        }
        return nil
    }
}
