internal import ObjectStore

extension AgentStatus {
    /// Adds what is known of the roles that this process reads as.
    package mutating func reportCredentials() {
        credentials = RoleCredentials.all.map { role in
            CredentialsStatus(
                provider: role.source.principal.kind.rawValue, principal: "\(role.source.principal)",
                expiry: role.expiration, problem: role.problem.map { "\($0)" })
        }
        renewals = Dictionary(
            uniqueKeysWithValues: RenewalCounts.shared.snapshot.map { kind, count in
                (
                    kind.rawValue,
                    RenewalStatus(fetched: count.fetched, refused: count.refused, unavailable: count.unavailable)
                )
            })
    }
}
