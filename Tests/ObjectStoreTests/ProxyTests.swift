import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import Testing
import TextCoding

/// Stores behind a proxy: which hosts go through it, what it sees, and how its failures are told.
@Suite struct ProxyTests {
    private static func settings(_ environment: [String: String]) throws -> ProxySettings {
        try ProxySettings(environment: environment)
    }

    @Test(arguments: [
        ("https", "bucket.oss-cn-hangzhou.aliyuncs.com", 443, true), ("http", "store.example", 80, true),
        // NO_PROXY: names with all below them, whatever dot or star stands before; a port where one is named.
        ("https", "corp.example", 443, false), ("https", "bucket.CORP.example", 443, false),
        ("https", "notcorp.example", 443, true), ("https", "a.dotted.example", 443, false),
        ("https", "dotted.example", 443, false), ("https", "b.starred.example", 443, false),
        ("http", "ported.example", 9000, false), ("http", "ported.example", 80, true),
        ("http", "minio.storage.svc", 9000, false),
        // Addresses and networks.
        ("http", "10.1.2.3", 9000, false), ("http", "10.2.2.3", 9000, true), ("http", "192.0.2.7", 80, false),
        ("http", "192.0.2.8", 80, true), ("http", "2001:db8:1::5", 9000, false), ("http", "2001:db8:2::5", 9000, true),
        ("http", "2001:db8:9::9", 80, false),
        // Never: this machine, link-local addresses, metadata services.
        ("http", "127.0.0.1", 80, false), ("http", "localhost", 80, false), ("http", "a.localhost", 80, false),
        ("http", "::1", 80, false), ("http", "169.254.169.254", 80, false), ("http", "169.254.3.4", 80, false),
        ("http", "fe80::1", 80, false), ("http", "100.100.100.200", 80, false),
        ("http", "metadata.google.internal", 80, false), ("http", "::ffff:127.0.0.1", 80, false),
    ])
    func `each host has its way`(scheme: String, host: String, port: UInt16, isProxied: Bool) throws {
        let settings = try Self.settings([
            "HTTPS_PROXY": "http://secure.example:3129", "HTTP_PROXY": "http://plain.example:3128",
            "NO_PROXY": "corp.example, .dotted.example,*.starred.example ported.example:9000,.svc,10.1.0.0/16,192.0.2.7,"
                + "2001:db8:1::/48,[2001:db8:9::9],not/a/network,300.0.0.0/8,",
        ])
        let proxy = settings.proxy(for: host, port: port, isSecure: scheme == "https")
        let expected = scheme == "https" ? "http://secure.example:3129" : "http://plain.example:3128"
        #expect(proxy?.description == (isProxied ? expected : nil))
    }

    @Test(arguments: [
        (["https_proxy": "lower:1", "HTTPS_PROXY": "upper:1"], "http://lower:1"),
        (["ALL_PROXY": "socks5h://all:1080"], "socks5h://all:1080"), (["HTTP_PROXY": "http://other:1"], nil),
        (["HTTPS_PROXY": "https://[2001:db8::1]:3128/"], "https://[2001:db8::1]:3128"),
        (["HTTPS_PROXY": "HTTP://Proxy.Example"], "http://proxy.example"), (["HTTPS_PROXY": ""], nil),
        (["HTTPS_PROXY": "a:1", "NO_PROXY": "*"], nil), (["HTTPS_PROXY": "a:1", "no_proxy": "x.example"], nil),
    ] as [([String: String], String?)])
    func `variables are read as curl reads them`(environment: [String: String], expected: String?) throws {
        #expect(try Self.settings(environment).proxy(for: "s.x.example", port: 443, isSecure: true)?.description == expected)
    }

    @Test(arguments: [
        "ftp://name:hunter2@proxy", "http://name:hunter2", "http://name:hunter2@", "http://name:hunter2@a b", "http://a:%zz-hunter2@b:1",
        "http://name:hunter2@host:hunter2",
    ])
    func `a malformed proxy is named without its value`(text: String) {
        let error = #expect(throws: SettingError.self) { try Self.settings(["HTTPS_PROXY": text]) }
        #expect(error?.field == "HTTPS_PROXY")
        #expect(error.map { !"\($0)".contains("hunter2") && !String(reflecting: $0).contains("hunter2") } == true)
    }

    @Test func `no description shows a name or password`() throws {
        let settings = try Self.settings(["HTTPS_PROXY": "http://ann:hunter2@proxy:3128"])
        let proxy = try #require(settings.proxy(for: "s.example", port: 443, isSecure: true))
        for text in [settings.summary ?? "", "\(proxy)", "\(settings)", String(reflecting: settings)] {
            #expect(text.contains("proxy:3128") && !text.contains("hunter2") && !text.contains("ann"))
        }
    }

    private static func client(
        _ endpoint: String, through port: UInt16, user: String = "", sources: [String] = [], guarding: AddressGuard? = nil
    ) throws -> StoreClient {
        let proxy = "http://\(user)127.0.0.1:\(port)"
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: 2, sourceAddresses: sources,
                proxies: try settings(["HTTPS_PROXY": proxy, "HTTP_PROXY": proxy]), connectTimeout: .seconds(5),
                addressGuard: guarding))
        return try Fixture.client(
            endpoint, credentials: .fixed(StoreCredentials(keyID: "key-id", secret: "secret", token: nil)), engine: engine)
    }

    @Test func `a plain store is read through the proxy, from source addresses in equal shares`() async throws {
        let seen = Mutex<[Responder.Request]>([])
        // A transfer that ends before the last begins would lend it its connection, and so its address.
        let gate = Gate(8)
        let proxy = try Responder { request, line in
            seen.withLock { $0.append(request) }
            gate.arrive(request.peer)
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        let client = try Self.client(
            "http://store.example", through: proxy.port, user: "ann:p%40ss@", sources: ["127.0.0.2", "127.0.0.3"],
            // A proxy on this machine is its owner's choice.
            guarding: AddressGuard { $0.first == 127 ? "is this machine itself" : nil })
        await withTaskGroup { group in
            for _ in 0..<8 { group.addTask { #expect(await client.fetch().error == nil) } }
        }
        let requests = seen.withLock { $0 }
        #expect(requests.allSatisfy { $0.target == "http://bucket-x.store.example/models/a" })
        #expect(requests.allSatisfy { $0.headers["host"] == "bucket-x.store.example" })
        let credentials = Data("ann:p@ss".utf8).base64EncodedString()
        #expect(requests.allSatisfy { $0.headers["proxy-authorization"] == "Basic \(credentials)" })
        #expect(Set(proxy.peers) == ["127.0.0.2", "127.0.0.3"])
        #expect(requests.count { $0.peer == "127.0.0.2" } == 4)
    }

    @Test(arguments: [
        ("407 Proxy Authentication Required", StoreError.Kind.settings, "wants a name and a password; write HTTPS_PROXY="),
        ("403 Forbidden", .settings, "does not let us connect to bucket-x.store.example"),
        ("502 Bad Gateway", .connectionLost, "cannot reach bucket-x.store.example"),
    ])
    func `a refused tunnel names the proxy and what to do`(status: String, kind: StoreError.Kind, words: String) async throws {
        let seen = Mutex<[Responder.Request]>([])
        let proxy = try Responder { request, line in
            seen.withLock { $0.append(request) }
            line.write(Fixture.answer(status, "no"))
            return false
        }
        let error = await (try Self.client("https://store.example", through: proxy.port)).fetch().error
        #expect(error?.kind == kind)
        #expect(error?.description.contains("the proxy http://127.0.0.1:\(proxy.port)") == true)
        #expect(error?.description.contains(words) == true, "\(error.map { "\($0)" } ?? "none")")
        let requests = seen.withLock { $0 }
        #expect(requests.first?.target == "bucket-x.store.example:443")
        #expect(requests.allSatisfy { $0.method == "CONNECT" && $0.headers["authorization"] == nil })
    }

    @Test func `a name and password that the proxy refuses are said and not shown`() async throws {
        let proxy = try Responder { _, line in
            line.write(Fixture.answer("407 Proxy Authentication Required"))
            return false
        }
        for endpoint in ["https://store.example", "http://store.example"] {
            let client = try Self.client(endpoint, through: proxy.port, user: "ann:hunter2@")
            let error = await client.fetch().error
            #expect(error?.kind == .settings && error?.isRetryable == false)
            #expect(error?.description.contains("refuses") == true)
            #expect(error?.description.contains("hunter2") == false)
        }
    }

    @Test func `a proxy that is away is named with its setting`() async throws {
        let (socket, port) = try Responder.bindLoopback()
        defer { close(socket) }
        let error = await (try Self.client("https://store.example", through: port)).fetch().error
        #expect(error?.kind == .connectionRefused)
        #expect(error?.description.contains("the proxy http://127.0.0.1:\(port) refuses connections") == true)
        #expect(error?.description.contains("check HTTPS_PROXY") == true)
    }

    @Test func `this machine is reached without the proxy`() async throws {
        let (socket, port) = try Responder.bindLoopback()
        defer { close(socket) }
        let store = try Responder { _, line in
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        #expect(await (try Self.client(store.endpoint, through: port)).fetch().error == nil)
    }

    @Test func `a folder of authorities that cannot be read is a setting's fault`() {
        let error = #expect(throws: SettingError.self) {
            try TransferEngine(TransferEngineConfiguration(threads: 1, authorityFolder: "/etc:/nonexistent/certs"))
        }
        #expect(error?.field == "SSL_CERT_DIR" && error?.value == "/nonexistent/certs")
    }
}
