/// An integral number of bytes in Kubernetes' notation for quantities: `500Mi`, `1G`, `1.5Gi`, `1e9`, or a bare
/// integer.
///
/// The text stays as written, so that an object does not seem changed after it was read.
/// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
public struct Quantity: Codable, Sendable, Equatable {
    /// As in the object; a bare integer without quotes becomes its digits.
    public var text: String

    public init(_ text: String) {
        self.text = text
    }

    public init(bytes: Int64) {
        self.text = String(bytes)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            self.text = String(number)
        } else {
            self.text = try container.decode(String.self)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// The value in bytes, rounded up to an integer as Kubernetes does; nil when malformed, negative or beyond `Int64`.
    public var bytes: Int64? {
        QuantityText(parsing: text)?.roundedUp
    }
}
