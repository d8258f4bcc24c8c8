import Kubernetes
import Testing

/// The environment's proxy to the API server, as kubectl takes it.
@Suite struct NamedProxyTests {
    @Test(arguments: [
        ("https://api.example:6443", "http://secure:3129"), ("http://api.example", "http://plain:3128"),
        // Names with all below them; with a dot before, those below alone; ports where they are named.
        ("https://corp.example", nil), ("https://a.CORP.example:6443", nil), ("https://notcorp.example", "http://secure:3129"),
        ("https://dotted.example", "http://secure:3129"), ("https://a.dotted.example", nil), ("https://a.starred.example", nil),
        ("https://ported.example:6443", nil), ("https://ported.example", "http://secure:3129"), ("https://443.example", nil),
        ("https://10.1.2.3:6443", nil), ("https://10.2.2.3:6443", "http://secure:3129"), ("https://192.0.2.7:6443", nil),
        ("https://[2001:db8:1::5]:6443", nil), ("https://[2001:db8:2::5]", "http://secure:3129"), ("https://[2001:db8:9::9]", nil),
        ("https://[2001:db8:8::8]:6443", nil), ("https://[2001:db8:8::8]", "http://secure:3129"),
        // This machine.
        ("https://127.0.0.1:6443", nil), ("https://127.9.9.9", nil), ("https://localhost:6443", nil), ("https://[::1]:6443", nil),
        ("nonsense", nil), ("", nil),
    ] as [(String, String?)])
    func `each server has its way`(server: String, expected: String?) {
        let environment = [
            "HTTPS_PROXY": "secure:3129", "HTTP_PROXY": "http://plain:3128",
            "NO_PROXY": "corp.example, .dotted.example,*.starred.example,ported.example:6443,443.example:443,10.1.0.0/16,192.0.2.7,"
                + "2001:db8:1::/48,2001:db8:9::9,[2001:db8:8::8]:6443,,not/a/network,300.0.0.0/8,10.0.0.0/99",
        ]
        #expect(NamedProxy(for: server, in: environment)?.url == expected)
    }

    @Test func `the variable in upper case wins, and a star excepts every server`() {
        let both = ["HTTPS_PROXY": "upper:1", "https_proxy": "lower:1"]
        #expect(NamedProxy(for: "https://a.example", in: both)?.url == "http://upper:1")
        #expect(NamedProxy(for: "https://a.example", in: ["https_proxy": "lower:1"])?.field == "https_proxy")
        #expect(NamedProxy(for: "https://a.example", in: both.merging(["no_proxy": "*"]) { $1 }) == nil)
        #expect(NamedProxy(for: "https://a.example", in: ["HTTPS_PROXY": "", "HTTP_PROXY": "x:1"]) == nil)
    }

    @Test func `printing it shows no password`() throws {
        let named = try #require(NamedProxy(for: "https://a.example", in: ["HTTPS_PROXY": "http://ann:hunter2@proxy:1"]))
        #expect(!"\(named) \(String(reflecting: named))".contains("hunter2"))
    }
}
