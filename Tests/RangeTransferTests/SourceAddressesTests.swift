import RangeTransfer
import TextCoding
import Testing

/// Which addresses `HTTP_SOURCE_IP` stands for on a machine.
@Suite struct SourceAddressesTests {
    private static let machine = ["127.0.0.1", "10.0.1.5", "10.0.2.5", "10.1.0.5", "2001:db8:1::5", "::1"]

    private func addresses(_ entries: String...) throws(SettingError) -> [String?] {
        try SourceAddresses(entries, ofMachine: { Self.machine }).addresses
    }

    @Test func `a range stands for the machine's addresses in it`() throws {
        #expect(try addresses("10.0.0.0/16") == ["10.0.1.5", "10.0.2.5"])
        #expect(try addresses("2001:db8::/32") == ["2001:db8:1::5"])
        #expect(try addresses("10.0.2.5/32") == ["10.0.2.5"])
    }

    @Test func `an address in two entries has one share`() throws {
        #expect(try addresses("10.0.0.0/16", "10.0.2.0/24", "10.0.0.0/8") == ["10.0.1.5", "10.0.2.5", "10.1.0.5"])
    }

    @Test func `a range of everything leaves the loopback interface out`() throws {
        #expect(try addresses("0.0.0.0/0") == ["10.0.1.5", "10.0.2.5", "10.1.0.5"])
        #expect(try addresses("::/0") == ["2001:db8:1::5"])
        #expect(try addresses("127.0.0.0/8") == ["127.0.0.1"])
    }

    @Test func `a range without an address of the machine is refused, and the machine's are named`() {
        let error = #expect(throws: SettingError.self) { try addresses("192.0.2.0/24") }
        #expect(error?.value == "192.0.2.0/24")
        #expect(error?.remedy.contains("10.1.0.5") == true)
    }

    @Test func `more addresses than an engine has handles for are refused`() {
        let many = (0...SourceAddresses.most).map { "10.9.\($0 / 200).\($0 % 200 + 1)" }
        let error = #expect(throws: SettingError.self) {
            try SourceAddresses(["10.9.0.0/16"], ofMachine: { many })
        }
        #expect(error?.problem.contains("\(SourceAddresses.most + 1)") == true)
    }

    @Test func `without an entry the kernel chooses`() throws { #expect(try addresses() == [nil]) }
}
