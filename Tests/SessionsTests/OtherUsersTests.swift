import Models
import Sessions
import Testing

@Suite struct OtherUsersTests {
    @Test func `another user's files and roles are not the agent's to open`() throws {
        for variable in [
            "OSS_CREDENTIALS_FILE", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ] {
            let settings = ["OSS_PATH": "oss://b/p/", variable: "/etc/shadow"]
            let failure = #expect(throws: AgentFailure.self) {
                try OtherUsers.permitted(settings, user: 1000, agent: 0)
            }
            #expect(failure?.code == .settings && failure?.message.hasPrefix(variable) == true)
            for user in [0, 7] as [UInt32] {
                #expect(try OtherUsers.permitted(settings, user: user, agent: 7) == settings)
            }
        }
        let keys = ["OSS_PATH": "oss://b/p/", "OSS_ACCESS_KEY_ID": "id", "MODELCACHE_CREDENTIALS": "node"]
        #expect(try OtherUsers.permitted(keys, user: 1000, agent: 0)["MODELCACHE_CREDENTIALS"] == "keys")
    }
}
