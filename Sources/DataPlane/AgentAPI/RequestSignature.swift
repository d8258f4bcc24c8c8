internal import Crypto
internal import Foundation
internal import TextCoding

/// Proof that the sender of a request has the ``AuthSecret``, and meant this node, now.
///
///     Authorization: MODELCACHE-HMAC-SHA256 Timestamp=<unix seconds>, Signature=<hex>
///
/// Signature = HMAC-SHA256(key, text), RFC 2104, with text = method "\n" path?query "\n" timestamp "\n" node name "\n"
/// hex SHA-256 of the body.
///
/// The node's name prevents a replay to another agent; the time prevents one after ``maximumSkewSeconds``. Within that
/// time an agent carries out no request for a cache that is older than the last one for it, see ``OrderNumber``. It may
/// carry out the last one again, since all requests are idempotent.
public enum RequestSignature {
    public static let scheme = "MODELCACHE-HMAC-SHA256"
    /// The allowed difference of the caller's clock, in seconds, either way.
    public static let maximumSkewSeconds: Int64 = 300

    /// The signed parts of a request.
    public struct Request: Equatable, Sendable {
        /// In capitals: `GET`, `PUT`, `DELETE`.
        public var method: String
        /// Path and query exactly as in the request line, such as `/v1/caches/<uid>?force=true`.
        public var target: String
        /// Name of the node whose agent gets the request.
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

    /// The result of ``verify(authorization:request:secret:now:)``.
    public enum Verdict: Equatable, Sendable {
        case accepted
        /// Absent, malformed, or signed with another key or for another request or node. Tell the caller nothing more.
        case refused
        /// Correctly signed, but this many seconds ahead of the verifier's clock (negative: behind).
        case skewed(seconds: Int64)
    }

    /// The time and the signature of a request, which distinguish requests once the signature is verified.
    public struct Stamp: Equatable, Sendable {
        /// Seconds since 1970, the caller's clock.
        public var time: Int64
        public var signature: [UInt8]

        public init(time: Int64, signature: [UInt8]) {
            self.time = time
            self.signature = signature
        }

        /// Nil when the header is absent or malformed. Does not verify the signature.
        public init?(authorization: String?) {
            guard let (timestamp, signature) = authorization.flatMap(parse), let time = Int64(timestamp) else {
                return nil
            }
            self.init(time: time, signature: signature)
        }
    }

    /// The value of the `Authorization` header.
    ///
    /// - Parameter now: seconds since 1970.
    public static func authorization(for request: Request, secret: AuthSecret, now: Int64) -> String {
        let signature = code(request, timestamp: String(now), key: secret.keys[0])
        return "\(scheme) Timestamp=\(now), Signature=\(Hex.encode(signature))"
    }

    /// Checks a header. Compares in constant time, with each key, before it checks the time.
    ///
    /// - Parameters:
    ///   - authorization: the header's value; nil: absent.
    ///   - now: the verifier's clock, seconds since 1970.
    public static func verify(authorization: String?, request: Request, secret: AuthSecret, now: Int64) -> Verdict {
        guard let (timestamp, signature) = authorization.flatMap(parse), let time = Int64(timestamp) else {
            return .refused
        }
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

    /// The parts of a header. The timestamp keeps its digits as sent, because they were signed.
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
                guard !value.isEmpty, value.utf8.count <= 19, value.utf8.allSatisfy({ (0x30...0x39).contains($0) })
                else { return nil }
                timestamp = value
            case "Signature" where signature == nil:
                // One spelling alone: lower case.
                guard let bytes = Hex.decode(value), bytes.count == SHA256.byteCount, Hex.encode(bytes) == value else {
                    return nil
                }
                signature = bytes
            default: return nil
            }
        }
        guard let timestamp, let signature else { return nil }
        return (timestamp, signature)
    }

    private static func text(_ request: Request, timestamp: String) -> Data {
        let body = Hex.encode(SHA256.hash(data: request.body))
        return Data([request.method, request.target, timestamp, request.node, body].joined(separator: "\n").utf8)
    }

    private static func code(_ request: Request, timestamp: String, key: [UInt8]) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: text(request, timestamp: timestamp), using: SymmetricKey(data: key))
    }
}
