internal import Foundation

/// A JSON Web Signature in compact form (RFC 7515 section 3.1), taken apart and not yet believed.
struct TokenParts {
    struct Header: Decodable {
        let alg: String
        let kid: String?
    }

    let header: Header
    let payload: Data
    let signature: [UInt8]
    /// The bytes that the signature covers.
    let signed: [UInt8]

    /// - Throws: ``TokenProblem``: `absent`, `tooLong` or `malformed`.
    init(_ token: String) throws(TokenProblem) {
        let bytes = Array(token.utf8)
        guard !bytes.isEmpty else { throw .absent }
        guard bytes.count <= TokenVerifier.maximumBytes else { throw .tooLong }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Self.decoded(parts[0]), let payload = Self.decoded(parts[1]),
            let signature = Self.decoded(parts[2]), let fields = try? JSONDecoder().decode(Header.self, from: header),
            let members = try? JSONDecoder().decode([String: Ignored].self, from: header)
        else { throw .malformed }
        // RFC 7515 section 4.1.11: extensions that must be understood and are not, none of which are.
        guard members["crit"] == nil else { throw .malformed }
        self.header = fields
        self.payload = payload
        self.signature = Array(signature)
        signed = Array(bytes.prefix(parts[0].count + 1 + parts[1].count))
    }

    /// base64url without padding (RFC 4648 section 5), strictly.
    private static func decoded(_ part: ArraySlice<UInt8>) -> Data? {
        var text: [UInt8] = []
        text.reserveCapacity(part.count + 3)
        for byte in part {
            switch byte {
            case UInt8(ascii: "-"): text.append(UInt8(ascii: "+"))
            case UInt8(ascii: "_"): text.append(UInt8(ascii: "/"))
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                text.append(byte)
            default: return nil
            }
        }
        guard !text.isEmpty, text.count % 4 != 1 else { return nil }
        while text.count % 4 != 0 { text.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(text))
    }

    private struct Ignored: Decodable {
        init(from decoder: any Decoder) {}
    }
}
