import Foundation
import Models
import NodeAPI
import Testing

@Suite struct CredentialsReportTests {
    private func status() throws -> AgentStatus {
        let json = """
            {"version":"1","processID":1,"root":"/r","medium":"memory","uptimeSeconds":1,"budgetBytes":1,"cachedBytes":0,
            "inFlightLimitBytes":1,"inFlightBytes":0,"sessions":0,"models":[],
            "credentials":[{"provider":"ram-role","principal":"RAM role b","expiry":200},
            {"provider":"ram-role","principal":"RAM role a","expiry":100,"problem":"no"},
            {"provider":"ecs-instance","principal":"the ECS instance's role","problem":"no"}],
            "renewals":{"ram-role":{"fetched":3,"refused":1,"unavailable":2}}}
            """
        return try JSONDecoder().decode(AgentStatus.self, from: Data(json.utf8))
    }

    @Test func `metrics show the end of each role's credentials and how renewals went`() throws {
        let text = MetricsText.encode(try status())
        for line in [
            #"modelcache_role_credentials_expiry_timestamp_seconds{provider="ram-role",principal="RAM role a"} 100"#,
            #"modelcache_role_credentials_expiry_timestamp_seconds{provider="ram-role",principal="RAM role b"} 200"#,
            #"modelcache_role_credentials_renewals_total{provider="ram-role"} 3"#,
            #"modelcache_role_credentials_refusals_total{provider="ram-role",reason="refused"} 1"#,
            #"modelcache_role_credentials_refusals_total{provider="ram-role",reason="unavailable"} 2"#,
        ] {
            #expect(text.split(separator: "\n").contains { $0 == line }, "\(line)")
        }
    }

    @Test func `without names the credentials that end first count, once`() throws {
        let text = MetricsText.encode(try status(), naming: .nobody)
        #expect(!text.contains("RAM role"))
        #expect(
            text.split(separator: "\n").filter { $0.hasPrefix("modelcache_role_credentials_expiry") }
                == [#"modelcache_role_credentials_expiry_timestamp_seconds{provider="ram-role"} 100"#])
    }
}
