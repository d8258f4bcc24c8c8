internal import FoundationEssentials

/// Bytes that are base64 on the wire. Printing never shows them, because a Secret holds such values.
public struct Base64Data: Codable, Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    public var bytes: [UInt8]

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    public init(text: String) {
        bytes = Array(text.utf8)
    }

    /// The value as text; nil when it is not UTF-8.
    public var text: String? { String(validating: bytes, as: UTF8.self) }

    public var description: String { "<\(bytes.count) bytes>" }

    public var customMirror: Mirror { Mirror(self, children: ["count": bytes.count]) }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let data = Data(base64Encoded: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not base64")
        }
        bytes = Array(data)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Data(bytes).base64EncodedString())
    }
}
