internal import RangeTransfer
internal import TextCoding

/// The parts of an endpoint as written.
struct EndpointText {
    let transport: StoreEndpoint.Transport
    let host: String
    let port: UInt16?
    /// The host is an IPv4 or IPv6 literal.
    let isAddress: Bool

    init(parsing text: String, field: String) throws(SettingError) {
        let remedy = "write it as https://host or http://host:port"
        func wrong(_ problem: String, _ advice: String? = nil) -> SettingError {
            SettingError(field: field, value: text, problem: problem, remedy: advice ?? remedy)
        }
        guard !text.isEmpty else {
            throw SettingError(field: field, value: nil, problem: "is not set", remedy: remedy)
        }
        var rest = text[...]
        if let mark = text.firstRange(of: "://") {
            guard let transport = StoreEndpoint.Transport(rawValue: text[..<mark.lowerBound].lowercased()) else {
                throw wrong("has a scheme other than http and https")
            }
            self.transport = transport
            rest = text[mark.upperBound...]
        } else {
            self.transport = .https
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        if rest.contains("@") {
            // The value may hold a password: it is not shown.
            throw SettingError(
                field: field, value: nil, problem: "holds a user name",
                remedy: "give the keys apart, and the host alone here")
        }
        guard !rest.contains(where: { "/?#".contains($0) }) else {
            throw wrong("has a path", "give the host alone; bucket and prefix belong in OSS_PATH")
        }

        var hostText = rest
        var portText: Substring?
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw wrong("has an IPv6 address without its ]") }
            hostText = rest[rest.index(after: rest.startIndex)..<end]
            let tail = rest[rest.index(after: end)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { throw wrong("has text after its ]") }
            if !tail.isEmpty { portText = tail.dropFirst() }
            guard NumericAddress.isIPv6(String(hostText)) else { throw wrong("has no IPv6 address between [ and ]") }
        } else if let colon = rest.firstIndex(of: ":") {
            hostText = rest[..<colon]
            portText = rest[rest.index(after: colon)...]
        }
        if let portText {
            guard portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(portText), port > 0 else {
                throw wrong("has the port \"\(portText)\"", "write a port from 1 to 65535")
            }
            self.port = port
        } else {
            self.port = nil
        }
        let host = hostText.lowercased()
        self.isAddress = NumericAddress.isIPv4(host) || NumericAddress.isIPv6(host)
        guard isAddress || Self.isHostName(host) else { throw wrong("has the malformed host \"\(host)\"") }
        self.host = host
    }

    /// RFC 1123: labels of letters, digits and hyphens. A host of digits and dots alone would be a malformed address.
    static func isHostName(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let wellFormed = labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { byte in
                    (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d || byte == 0x5f
                }
        }
        return wellFormed && !(labels.last ?? "").utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
