/// A range of addresses as `10.0.0.0/16` names it: all that begin with the same bits (RFC 4632, section 3.1; RFC 4291,
/// section 2.3). A pure value.
public struct AddressRange: Sendable, Hashable {
    private let network: [UInt8]
    private let bits: Int

    /// Nil: `text` is no address with a `/` and a number of bits behind it.
    public init?(_ text: some StringProtocol) {
        guard let slash = text.firstIndex(of: "/"),
            let network = NumericAddress.bytes(of: String(text[..<slash])),
            let bits = Self.decimal(text[text.index(after: slash)...]), bits <= network.count * 8
        else { return nil }
        self.init(network, bits: bits)
    }

    /// The one address.
    public init(only address: [UInt8]) { self.init(address, bits: address.count * 8) }

    private init(_ network: [UInt8], bits: Int) {
        self.network = network
        self.bits = bits
    }

    /// Digits alone: `Int` would take "+16" too.
    private static func decimal(_ text: some StringProtocol) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }

    /// `address`: 4 or 16 bytes in network order.
    public func contains(_ address: [UInt8]) -> Bool {
        guard address.count == network.count else { return false }
        return network.indices.allSatisfy { index in
            let mask = UInt8(truncatingIfNeeded: 0xff00 >> min(max(bits - index * 8, 0), 8))
            return address[index] & mask == network[index] & mask
        }
    }
}
