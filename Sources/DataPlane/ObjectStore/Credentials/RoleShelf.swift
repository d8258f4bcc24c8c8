import Synchronization

/// The roles of ModelCaches, by their uid. A role is kept, with its token and keys in memory, while somebody reads as
/// it, and forgotten then.
package final class RoleShelf: Sendable {
    private final class Place: Sendable {
        // Read and written under the shelf's lock alone.
        nonisolated(unsafe) weak var role: RoleCredentials?
        init(_ role: RoleCredentials) { self.role = role }
    }

    private let places = Mutex<[String: Place]>([:])

    package init() {}

    /// The role of the cache, with this token as its newest. Only who brings a token reads as the role: to others it is
    /// of no use once the tokens of those who do have expired, and they would keep it.
    ///
    /// - Parameters:
    ///   - token: of a client that connects.
    ///   - expiry: the token's, in seconds since 1970; nil: unknown.
    ///   - source: the role to assume with a token.
    package func role(
        of uid: String, token: String, until expiry: Int64? = nil, source: (WebToken) -> RoleSource
    ) -> RoleCredentials {
        places.withLock { places in
            places = places.filter { $0.value.role != nil }
            if let known = places[uid]?.role, let box = known.source.handedToken,
                source(.handed(box)) == known.source
            {
                if box.hand(token, until: expiry) { known.tokenChanged() }
                return known
            }
            let box = HandedToken()
            box.hand(token, until: expiry)
            let made = RoleCredentials(source(.handed(box)))
            RoleCredentials.watch(made)
            places[uid] = Place(made)
            return made
        }
    }
}

extension RoleSource {
    var handedToken: HandedToken? {
        switch self {
        case .ramRole(let role): if case .handed(let box) = role.token { box } else { nil }
        case .iamRole(let role): if case .handed(let box) = role.token { box } else { nil }
        case .container, .ecsInstance, .ec2Instance: nil
        }
    }
}
