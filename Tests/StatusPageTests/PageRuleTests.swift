import StatusPage
import Testing

@Suite struct PageRuleTests {
    private let rule = PageRule(user: 1000)

    private func verdict(
        _ method: String = "GET", _ host: String? = "127.0.0.1:8500", _ path: String = "/", sender: UInt32? = 1000
    ) -> PageRule.Verdict {
        rule.verdict(method: method, host: host, path: path, sender: sender)
    }

    private func status(_ verdict: PageRule.Verdict) -> Int {
        if case .refused(let status, _) = verdict { status } else { 200 }
    }

    @Test func `its own user and root get the page and the data`() {
        #expect(verdict() == .page && verdict(sender: 0) == .page)
        #expect(verdict("HEAD", "localhost", "/data.json") == .data)
        #expect(verdict("GET", "[::1]:9", "/data.json") == .data && verdict("GET", "LOCALHOST:1", "/") == .page)
    }

    @Test func `another name, another user, another method and another path get nothing`() {
        for host in [
            nil, "", "evil.example", "evil.example:8500", "127.0.0.1.evil.example", "127.0.0.1:8500x", "localhost:", "a@localhost",
            "127.0.0.2", "[::1", "[::1]x", "0.0.0.0",
        ] {
            // A port may be empty (RFC 3986, 3.2.3).
            #expect(status(verdict("GET", host)) == (host == "localhost:" ? 200 : 403), "\(host ?? "none")")
        }
        #expect(status(verdict(sender: 1001)) == 403 && status(verdict(sender: nil)) == 403)
        #expect(status(verdict("POST")) == 405 && status(verdict("OPTIONS", "127.0.0.1", "/data.json")) == 405)
        #expect(status(verdict("GET", "127.0.0.1", "/x")) == 404)
        // A stranger is not told which paths there are.
        #expect(status(verdict("POST", "evil.example", "/x")) == 403)
    }

    @Test func `the owner of a socket is found by both of its ends`() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:2134 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 10 1 0 100 0 0 10 0
               1: 0200007F:C350 0100007F:2134 01 00000000:00000000 00:00000000 00000000  1003        0 11 1 0 20 4 30 10 -1
               2: 0100007F:2134 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
               3: 0100007F:C350 0100007F:2134 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0 20 4 30 10 -1
               4: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:2134 01 0:0 00:0 0  1002        0 14 1
               5: 0100007F:C352
            """
        let server = LoopbackUser.End(host: "127.0.0.1", port: 0x2134)
        func user(_ host: String, _ port: UInt16) -> UInt32? {
            LoopbackUser.user(in: table, client: LoopbackUser.End(host: host, port: port), server: server)
        }
        #expect(user("127.0.0.1", 0xC350) == 1001 && user("127.0.0.2", 0xC350) == 1003)
        #expect(user("127.0.0.1", 0xC351) == 1002)
        #expect(user("127.0.0.1", 0xC352) == nil && user("127.0.0.1", 0x1111) == nil && user("::1", 0xC350) == nil)
        #expect(LoopbackUser.user(in: "", client: server, server: server) == nil)
    }
}
