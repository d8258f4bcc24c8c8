import Foundation

/// Which endpoints the operator and the agents may be sent to.
///
/// Both speak from inside the cluster's network, the agents from the nodes' own: an endpoint that a user writes must not
/// make them read a cloud's metadata service or something bound to the node. Names are judged as written; what they
/// resolve to is for whoever connects.
enum EndpointCheck {
    private static let path = "spec.source.endpoint"

    static func problems(_ endpoint: String, _ policy: ValidationPolicy) -> [FieldProblem] {
        func wrong(_ problem: String, _ remedy: String) -> [FieldProblem] {
            // What stands before an @ may be a password.
            let shown = endpoint.contains("@") ? nil : JSONTree.string(endpoint).text(limit: 80)
            return [FieldProblem(path: path, value: shown, problem: problem, remedy: remedy)]
        }
        guard let parts = HostAndPort(endpoint) else {
            return wrong("is malformed", "write \(SchemaNode.Pattern.endpoint.meaning)")
        }
        if let port = parts.port, !(1...65535).contains(port) {
            return wrong("has the port \(port)", "write a port from 1 to 65535")
        }
        switch HostKind(parts.host) {
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
                "is the node itself", "write an endpoint that every node reaches, or start the operator with --allow-loopback-endpoints")
        case .loopback, .ordinary:
            return []
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
            let pieces = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = String(pieces.first ?? "")
            if pieces.count == 2 { portText = pieces[1] }
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

/// What a host is, as far as its text tells.
private enum HostKind {
    case ordinary, loopback, linkLocal, metadata, unusable, malformed

    /// Metadata services by name or by an address that is not link-local.
    /// https://help.aliyun.com/zh/ecs/user-guide/view-instance-metadata (100.100.100.200), AWS fd00:ec2::254, Google.
    private static let metadataHosts: Set<String> = [
        "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    ]

    init(_ host: String) {
        let name = host.hasSuffix(".") ? String(host.dropLast()) : host
        if let address = Self.address(AF_INET6, host, count: 16) {
            self = Self.sixth(address)
        } else if let address = Self.address(AF_INET, host, count: 4) {
            self = Self.fourth(address)
        } else if host.contains(":") || Self.looksNumeric(name) {
            self = .malformed
        } else if name == "localhost" || name.hasSuffix(".localhost") {
            self = .loopback
        } else if Self.metadataHosts.contains(name) {
            self = .metadata
        } else {
            self = Self.isName(name) ? .ordinary : .malformed
        }
    }

    /// `127.1`, `2130706433` and `0x7f000001` are addresses to a resolver.
    private static func looksNumeric(_ name: String) -> Bool {
        guard let last = name.split(separator: ".").last else { return true }
        let digits = last.hasPrefix("0x") ? last.dropFirst(2) : last
        return last.hasPrefix("0x") ? digits.allSatisfy(\.isHexDigit) : digits.allSatisfy(\.isNumber)
    }

    /// RFC 1123.
    private static func isName(_ name: String) -> Bool {
        name.utf8.count <= 253 && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
        }
    }

    private static func address(_ family: Int32, _ text: String, count: Int) -> [UInt8]? {
        guard text.utf8.allSatisfy({ $0 != 0 }) else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }

    private static func fourth(_ bytes: [UInt8]) -> HostKind {
        switch (bytes[0], bytes[1]) {
        case (127, _): .loopback
        case (169, 254): bytes[2] == 169 && bytes[3] == 254 ? .metadata : .linkLocal
        case (100, 100) where bytes[2] == 100 && bytes[3] == 200: .metadata
        case (0, _), (224..., _): .unusable
        default: .ordinary
        }
    }

    private static func sixth(_ bytes: [UInt8]) -> HostKind {
        let head = bytes[..<12]
        if head.allSatisfy({ $0 == 0 }) {
            if bytes[12...14].allSatisfy({ $0 == 0 }) { return bytes[15] == 1 ? .loopback : .unusable }
            return fourth(Array(bytes[12...]))
        }
        // IPv4-mapped (::ffff:a.b.c.d) and NAT64 (64:ff9b::a.b.c.d) reach the IPv4 address inside.
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        let translated: [UInt8] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
        if Array(head) == mapped || Array(head) == translated { return fourth(Array(bytes[12...])) }
        if bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 { return .linkLocal }
        if bytes[0] == 0xff { return .unusable }
        let amazon: [UInt8] = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54]
        return bytes == amazon ? .metadata : .ordinary
    }
}
