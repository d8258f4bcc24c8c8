import Testing
import TextCoding

/// What `NO_PROXY` excepts.
@Suite struct ProxyExceptionsTests {
    @Test(arguments: [
        ("a.example:8x", "a.example", 80, false), ("a.example:", "a.example", 80, false), ("a.example:70000", "a.example", 80, false),
        ("[2001:db8::1]x", "2001:db8::1", 80, false), ("[2001:db8::1]:80", "2001:db8::1", 80, true), ("[2001:db8::1]:80", "2001:db8::1", 81, false),
        ("10.0.0.0/8\0", "10.1.2.3", 80, false), ("a.example.", "A.Example", 80, true), (".", "a", 80, false), ("*.", "a", 80, false),
        ("0.0.0.0/0", "10.1.2.3", 80, true), ("0.0.0.0/0", "name", 80, false), ("::/0", "10.1.2.3", 80, false), ("10.0.0.0/-1", "10.1.2.3", 80, false),
    ] as [(String, String, UInt16, Bool)])
    func `an entry that means nothing excepts nothing`(entry: String, host: String, port: UInt16, isExcepted: Bool) {
        #expect(ProxyExceptions("x.example, \(entry)", leadingDot: .nameAndBelow).contain(host, port: port) == isExcepted)
    }

    @Test func `a leading dot is curl's or Go's`() {
        for entry in [".corp.example", "*.corp.example"] {
            #expect(ProxyExceptions(entry, leadingDot: .nameAndBelow).contain("corp.example", port: 1))
            #expect(!ProxyExceptions(entry, leadingDot: .below).contain("corp.example", port: 1))
            #expect(ProxyExceptions(entry, leadingDot: .below).contain("a.corp.example", port: 1))
        }
    }
}
