internal import StoreHost

/// The endpoints that operator and agents may connect to, and those where they may use credentials: ``StoreHost`` and
/// ``CredentialHosts`` have the lists, this type words the problems.
enum EndpointCheck {
    private static let path = "spec.source.endpoint"

    /// - Parameters:
    ///   - bucket: of the source's uri; the client connects to `<bucket>.<host>`.
    ///   - hasCredentials: whether requests are signed.
    static func problems(
        _ endpoint: String, bucket: Substring, hasCredentials: Bool, _ policy: ValidationPolicy
    ) -> [FieldProblem] {
        func wrong(_ problem: String, _ remedy: String) -> [FieldProblem] {
            // The text before an @ may be a password.
            let shown = endpoint.contains("@") ? nil : JSONTree.string(endpoint).text(limit: 80)
            return [FieldProblem(path: path, value: shown, problem: problem, remedy: remedy)]
        }
        guard let parts = HostAndPort(endpoint) else {
            return wrong("is malformed", "write \(SchemaNode.Pattern.endpoint.meaning)")
        }
        if let port = parts.port, !(1...65535).contains(port) {
            return wrong("has the port \(port)", "write a port from 1 to 65535")
        }
        if StoreHost.kind(of: "\(bucket).\(parts.host)") == .metadata {
            return wrong("makes a cloud's metadata service of the bucket \(bucket)", "write the store's endpoint")
        }
        switch StoreHost.kind(of: parts.host) {
        case .malformed:
            return wrong("names a host that is neither a name nor an address", "write the store's host name")
        case .metadata:
            return wrong("is a cloud's metadata service", "write the store's endpoint")
        case .linkLocal:
            return wrong("is a link-local address", "write the store's endpoint")
        case .unusable:
            return wrong("is an address that no store can have", "write the store's endpoint")
        case .loopback where !policy.allowsLoopbackEndpoints:
            return wrong(
                "is the node itself",
                "write an endpoint that every node reaches, or start the operator with --allow-loopback-endpoints")
        case .loopback, .ordinary:
            guard hasCredentials, let hosts = policy.credentialHosts, !hosts.allow(parts.host) else { return [] }
            return wrong(CredentialHosts.problem, CredentialHosts.remedy)
        }
    }
}

/// An endpoint's host, lowercase and without brackets, and its port.
private struct HostAndPort {
    let host: String
    let port: Int?

    init?(_ endpoint: String) {
        var rest = endpoint.lowercased()[...]
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            break
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var portText: Substring?
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            let tail = rest[rest.index(after: end)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { return nil }
            if !tail.isEmpty { portText = tail.dropFirst() }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            guard host.contains(":") else { return nil }
        } else {
            let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = String(parts.first ?? "")
            if parts.count == 2 { portText = parts[1] }
        }
        guard !host.isEmpty else { return nil }
        if let portText {
            guard let number = Int(portText) else { return nil }
            port = number
        } else {
            port = nil
        }
    }
}
