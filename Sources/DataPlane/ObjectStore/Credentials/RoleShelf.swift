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

    /// The role of the cache; a token that was handed over is its newest.
    ///
    /// - Parameters:
    ///   - token: of a client that connects; nil: it has none.
    ///   - source: the role to assume with a token.
    /// - Returns: nil when nobody reads as this role now, and no token is at hand to begin with.
    package func role(of uid: String, token: String?, source: (WebToken) -> RoleSource) -> RoleCredentials? {
        places.withLock { places in
            places = places.filter { $0.value.role != nil }
            if let known = places[uid]?.role, let box = known.source.handedToken,
                source(.handed(box)) == known.source
            {
                if let token { box.hand(token) }
                return known
            }
            guard let token else { return nil }
            let box = HandedToken()
            box.hand(token)
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
