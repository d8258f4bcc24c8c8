/// Rules of a source that a schema cannot express.
enum SourceCheck {
    static func problems(_ source: Source, _ policy: ValidationPolicy) -> [FieldProblem] {
        var found = uriProblems(source.uri)
        if let endpoint = source.endpoint {
            found += EndpointCheck.problems(
                endpoint, bucket: bucket(source.uri), hasCredentials: source.isReadWithCredentials, policy)
        } else if source.region == nil, !policy.nodesNameRegion {
            found.append(
                FieldProblem(
                    path: "spec.source.endpoint",
                    problem: "is missing, and so is region, and no node has the label topology.kubernetes.io/region",
                    remedy: "set endpoint or region"))
        }
        return found + addressingProblems(source) + includeProblems(source.include)
            + credentialsProblems(source, policy)
    }

    /// API servers before 1.25 have no CEL, so what the schema's rule says is said here too.
    private static func credentialsProblems(_ source: Source, _ policy: ValidationPolicy) -> [FieldProblem] {
        guard let credentials = source.credentials else { return [] }
        let path = "spec.source.credentials"
        guard credentials.members.count == 1 else {
            let found =
                credentials.members.isEmpty ? "has none" : "has \(credentials.members.joined(separator: " and "))"
            return [
                FieldProblem(
                    path: path, problem: "\(found) of secretRef, serviceAccount, node and anonymous",
                    remedy: "set exactly one")
            ]
        }
        // A Job of the ModelCache's namespace would have the role, which the author need not have.
        if credentials.node != nil, policy.allowsNodeRole == false {
            return [
                FieldProblem(
                    path: "\(path).node", problem: "is the nodes' own role, which ModelCaches may not use here",
                    remedy: "name a Secret or a ServiceAccount, or let the administrator set allowNodeRole of the chart "
                        + "(MODELCACHE_ALLOW_NODE_ROLE of operator and agents)")
            ]
        }
        guard let role = credentials.serviceAccount else { return [] }
        guard role.roleARN != nil else { return ownRoleProblems(role, "\(path).serviceAccount") }
        let isOSS = source.uri.hasPrefix("oss://")
        if isOSS == (role.oidcProviderARN != nil) { return [] }
        return [
            FieldProblem(
                path: "\(path).serviceAccount.oidcProviderARN",
                problem: isOSS ? "is missing, which RAM needs" : "is set, but s3:// sources have none",
                remedy: isOSS ? "set the ARN of the cluster's OIDC provider" : "remove it")
        ]
    }

    /// Of a role that the cluster gives.
    private static func ownRoleProblems(_ role: ServiceAccountRole, _ path: String) -> [FieldProblem] {
        let set = [role.oidcProviderARN.map { _ in "oidcProviderARN" }, role.sessionSeconds.map { _ in "sessionSeconds" }]
            .compactMap { $0 }
        guard !set.isEmpty else { return [] }
        return [
            FieldProblem(
                path: "\(path).roleARN", problem: "is missing, and \(set.joined(separator: " and ")) set",
                remedy: "set it, or remove \(set.joined(separator: " and "))")
        ]
    }

    private static func addressingProblems(_ source: Source) -> [FieldProblem] {
        let path = "spec.source.addressing"
        switch source.addressing {
        case .cname? where source.endpoint == nil:
            return [
                FieldProblem(
                    path: path, problem: "is CNAME, but no endpoint is set",
                    remedy: "set endpoint to the bucket's own domain")
            ]
        case .path?
        where source.uri.hasPrefix("oss://") && (source.endpoint ?? "aliyuncs.com").hasSuffix("aliyuncs.com"):
            return [FieldProblem(path: path, problem: "is Path, which OSS refuses", remedy: "remove it")]
        default: return []
        }
    }

    private static func bucket(_ uri: String) -> Substring {
        guard let mark = uri.range(of: "://") else { return "" }
        return uri[mark.upperBound...].prefix { $0 != "/" }
    }

    private static func uriProblems(_ uri: String) -> [FieldProblem] {
        func wrong(_ problem: String, _ remedy: String) -> [FieldProblem] {
            [
                FieldProblem(
                    path: "spec.source.uri", value: JSONTree.string(uri).text(limit: 80), problem: problem,
                    remedy: remedy)
            ]
        }
        guard let mark = uri.range(of: "://") else {
            return wrong("has no scheme", "write oss://bucket/prefix/ or s3://bucket/prefix/")
        }
        let rest = uri[mark.upperBound...]
        let bucket = Self.bucket(uri)
        if bucket.contains("..") { return wrong("names a bucket with two dots in a row", "write the bucket's name") }
        let prefix = rest.dropFirst(bucket.count).dropFirst()
        // OSS and S3 both limit keys to 1024 (1023) bytes of UTF-8.
        if prefix.utf8.count > 1023 {
            return wrong("has a prefix longer than 1023 bytes", "no object can be under it: shorten it")
        }
        return []
    }

    /// `fnmatch` backtracks for each star: with many stars, one key takes for ever.
    static let maximumStars = 8
    /// All patterns share one environment variable.
    static let maximumIncludeBytes = 8 << 10

    private static func includeProblems(_ include: [String]) -> [FieldProblem] {
        var found: [FieldProblem] = []
        var seen: Set<String> = []
        for (index, pattern) in include.enumerated() {
            func report(_ problem: String, _ remedy: String) {
                found.append(
                    FieldProblem(
                        path: "spec.source.include[\(index)]", value: JSONTree.string(pattern).text(limit: 80),
                        problem: problem, remedy: remedy))
            }
            if !seen.insert(pattern).inserted {
                report("stands there twice", "remove one")
            } else if pattern.utf8.count(where: { $0 == UInt8(ascii: "*") }) > maximumStars {
                report("has more than \(maximumStars) stars", "write a simpler pattern, or several")
            } else if pattern.hasPrefix("/") {
                report("begins with a slash, which no key does", "write it relative to the uri's prefix")
            } else if hasOpenBracket(pattern) {
                report("has a [ without its ]", "close it, or write \\[ for the character itself")
            } else if pattern.utf8.reversed().prefix(while: { $0 == UInt8(ascii: "\\") }).count % 2 == 1 {
                report("ends in a backslash that escapes nothing", "remove it")
            }
        }
        if include.reduce(0, { $0 + $1.utf8.count + 1 }) > maximumIncludeBytes {
            found.append(
                FieldProblem(
                    path: "spec.source.include", problem: "is longer than 8 KiB in all",
                    remedy: "write fewer or shorter patterns"))
        }
        return found
    }

    private static func hasOpenBracket(_ pattern: String) -> Bool {
        var rest = pattern.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\") {
                rest = rest.dropFirst()
            } else if byte == UInt8(ascii: "[") {
                if rest.first == UInt8(ascii: "!") || rest.first == UInt8(ascii: "^") { rest = rest.dropFirst() }
                // The first ] after [ is a member.
                guard let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "]")) else { return true }
                rest = rest[rest.index(after: end)...]
            }
        }
        return false
    }
}
