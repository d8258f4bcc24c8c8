import Testing
import TextCoding

/// Ranges of addresses, as `10.0.0.0/16` names them.
@Suite struct AddressRangeTests {
    @Test(arguments: [
        "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "::/129",
        "10.0.0.0/ 8", "host/8", "10.0.0.0/99999999999999999999",
    ])
    func `a text that is none is refused`(text: String) { #expect(AddressRange(text) == nil) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.0/9", "10.127.255.255", true),
        ("10.0.0.0/9", "10.128.0.0", false), ("10.0.0.7/8", "10.9.9.9", true), ("0.0.0.0/0", "192.0.2.1", true),
        ("10.0.0.1/32", "10.0.0.1", true), ("10.0.0.1/32", "10.0.0.0", false), ("0.0.0.0/0", "::1", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::1", false), ("::/0", "10.0.0.1", false),
    ])
    func `an address is in it when its first bits are the same`(range: String, address: String, isIn: Bool) throws {
        let bytes = try #require(NumericAddress.bytes(of: address))
        #expect(try #require(AddressRange(range)).contains(bytes) == isIn)
    }
}
