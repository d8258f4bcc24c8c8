internal import Crypto
internal import Foundation

/// Proof that a request comes from who holds the ``AuthSecret`` and is meant for this node, now.
///
///     Authorization: MODELCACHE-HMAC-SHA256 Timestamp=<unix seconds>, Signature=<hex>
///
/// Signature = HMAC-SHA256(key, method "\n" path?query "\n" timestamp "\n" node name "\n" hex SHA-256 of the body), RFC 2104.
///
/// The node's name keeps a request that one agent saw from being played to another; the time keeps it from being played
/// later than ``maximumSkewSeconds``. Within that time an agent carries out no order for a cache that is older than the last
/// one for it, see ``Stamp``; the last one again is the same order twice, and all are idempotent.
public enum RequestSignature {
    public static let scheme = "MODELCACHE-HMAC-SHA256"
    /// How far the caller's clock may be off, in seconds, either way.
    public static let maximumSkewSeconds: Int64 = 300

    /// What is signed of a request.
    public struct Request: Equatable, Sendable {
        /// In capitals: `GET`, `PUT`, `DELETE`.
        public var method: String
        /// Path with its query exactly as in the request line, such as `/v1/caches/<uid>?force=true`.
        public var target: String
        /// Name of the node whose agent is asked.
        public var node: String
        /// The body's bytes; empty without a body.
        public var body: [UInt8]

        public init(method: String, target: String, node: String, body: [UInt8] = []) {
            self.method = method
            self.target = target
            self.node = node
            self.body = body
        }
    }

    /// What ``verify(authorization:request:secret:now:)`` found.
    public enum Verdict: Equatable, Sendable {
        case accepted
        /// Absent, malformed, or signed with another key or for another request or node: tell the caller nothing more.
        case refused
        /// Signed rightly, but this many seconds ahead of the verifier's clock (negative: behind).
        case skewed(seconds: Int64)
    }

    /// When and as what a request was signed: what tells an order from another, once the signature is known to be right.
    public struct Stamp: Equatable, Sendable {
        /// Seconds since 1970, the caller's clock.
        public var time: Int64
        public var signature: [UInt8]

        public init(time: Int64, signature: [UInt8]) {
            self.time = time
            self.signature = signature
        }

        /// Nil when the header is absent or malformed. Says nothing of whether the signature is right.
        public init?(authorization: String?) {
            guard let (timestamp, signature) = authorization.flatMap(parse), let time = Int64(timestamp) else { return nil }
            self.init(time: time, signature: signature)
        }
    }

    /// The value of the `Authorization` header.
    ///
    /// - Parameter now: seconds since 1970.
    public static func authorization(for request: Request, secret: AuthSecret, now: Int64) -> String {
        let signature = code(request, timestamp: String(now), key: secret.keys[0])
        return "\(scheme) Timestamp=\(now), Signature=\(hex(signature))"
    }

    /// Checks a header. Compares in constant time, against each key, before it looks at the clock.
    ///
    /// - Parameters:
    ///   - authorization: the header's value; nil: absent.
    ///   - now: the verifier's clock, seconds since 1970.
    public static func verify(authorization: String?, request: Request, secret: AuthSecret, now: Int64) -> Verdict {
        guard let (timestamp, signature) = authorization.flatMap(parse), let time = Int64(timestamp) else { return .refused }
        var isRight = false
        for key in secret.keys {
            let authentic = HMAC<SHA256>.isValidAuthenticationCode(
                signature, authenticating: text(request, timestamp: timestamp), using: SymmetricKey(data: key))
            isRight = isRight || authentic
        }
        guard isRight else { return .refused }
        let (skew, overflows) = time.subtractingReportingOverflow(now)
        guard !overflows else { return .refused }
        return skew.magnitude <= UInt64(maximumSkewSeconds) ? .accepted : .skewed(seconds: skew)
    }

    /// The parts of a header: the timestamp's digits as sent, since they are what was signed.
    private static func parse(_ header: String) -> (timestamp: String, signature: [UInt8])? {
        guard header.utf8.count <= 512 else { return nil }
        let prefix = scheme + " "
        guard header.hasPrefix(prefix) else { return nil }
        var timestamp: String?
        var signature: [UInt8]?
        for part in header.dropFirst(prefix.count).split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { return nil }
            let value = String(pair[1])
            switch pair[0] {
            case "Timestamp" where timestamp == nil:
                guard !value.isEmpty, value.utf8.count <= 19, value.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
                timestamp = value
            case "Signature" where signature == nil:
                guard let bytes = bytes(hex: value), bytes.count == SHA256.byteCount else { return nil }
                signature = bytes
            default: return nil
            }
        }
        guard let timestamp, let signature else { return nil }
        return (timestamp, signature)
    }

    private static func text(_ request: Request, timestamp: String) -> Data {
        let body = hex(SHA256.hash(data: request.body))
        return Data([request.method, request.target, timestamp, request.node, body].joined(separator: "\n").utf8)
    }

    private static func code(_ request: Request, timestamp: String, key: [UInt8]) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: text(request, timestamp: timestamp), using: SymmetricKey(data: key))
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func bytes(hex: String) -> [UInt8]? {
        let digits = Array(hex.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }
}
