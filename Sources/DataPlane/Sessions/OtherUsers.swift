internal import Glibc
package import Models
internal import ObjectStore

/// The settings of a caller that is not the agent's own user.
///
/// The agent would open the files and assume the roles that such a caller names with its own rights, and the caller
/// would read with them.
package enum OtherUsers {
    /// - Parameters:
    ///   - user: of the caller.
    ///   - agent: of this process.
    /// - Returns: the settings; for another user than root and the agent's own with keys alone.
    /// - Throws: ``AgentFailure`` of code `settings` that names the variable.
    package static func permitted(
        _ settings: [String: String], user: UInt32, agent: UInt32 = getuid()
    ) throws(AgentFailure) -> [String: String] {
        guard user != agent, user != 0 else { return settings }
        let named = CredentialChain.partyVariables.subtracting(["MODELCACHE_CREDENTIALS"])
            .filter { !(settings[$0] ?? "").isEmpty && ($0.hasSuffix("_FILE") || $0.hasSuffix("_URI")) }.sorted()
        if let first = named.first {
            throw AgentFailure(
                .settings,
                "\(first): this agent is user \(agent)'s, and opens files and asks for roles for user \(agent) and root alone; pass keys, or run an agent of your own (MODELCACHE_SOCKET)"
            )
        }
        return settings.merging(["MODELCACHE_CREDENTIALS": "keys"]) { $1 }
    }
}
