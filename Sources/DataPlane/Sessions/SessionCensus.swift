/// Counts sessions, and says who may have another: a bound on what one program, one cache's clients and, at the agent's
/// own socket, one user can use. A session counts until its client is gone and the agent does nothing for it any more.
///
/// No tenant uses up what another needs: users count where they share a socket alone, for the pods of all tenants are
/// root to the kernel, and each socket has ``ownPlaces`` that the sessions of others do not take.
///
/// A value. A process whose number the kernel does not tell, for it lives in a container whose processes the agent
/// cannot see, is bounded by its cache and user alone.
package struct SessionCensus: Sendable {
    /// A program has one session and one for its notices; a tool that reads with many processes has them in each.
    package static let mostOfProcess = 128
    /// Of the agent's own socket, which the users of a machine share.
    package static let mostOfUser = 512
    /// A node runs hundreds of pods at most.
    package static let mostOfScope = 1024
    package static let mostOfAll = 4096
    /// A socket has so many beyond ``mostOfAll`` too.
    package static let ownPlaces = 64

    package init() {}

    private enum Group: Hashable {
        case process(Int32)
        case user(UInt32)
        case scope(SessionScope)
        case all
    }
    private var counts: [Group: Int] = [:]

    private static func groups(_ peer: PeerCredentials, _ scope: SessionScope) -> [(
        group: Group, most: Int, words: String
    )] {
        let process =
            peer.processID > 0 ? [(Group.process(peer.processID), mostOfProcess, "process \(peer.processID)")] : []
        return switch scope {
        case .agent:
            process + [
                (.user(peer.userID), mostOfUser, "user \(peer.userID)"),
                (.scope(scope), mostOfScope, "the agent's socket"),
            ]
        case .cache: process + [(.scope(scope), mostOfScope, "this ModelCache's socket")]
        }
    }

    /// Nil: the session is counted from now on. Else why it is refused, with the remedy.
    package mutating func arrived(_ peer: PeerCredentials, _ scope: SessionScope) -> String? {
        let groups = Self.groups(peer, scope)
        var bounds = groups
        if counts[.scope(scope), default: 0] >= Self.ownPlaces { bounds.append((.all, Self.mostOfAll, "this agent")) }
        if let full = bounds.first(where: { counts[$0.group, default: 0] >= $0.most }) {
            return
                "\(full.words) has \(full.most) connections to the agent, which is the most, those included whose opening still goes on though the client is gone; close some of them and connect again"
        }
        for group in groups.map(\.group) + [.all] { counts[group, default: 0] += 1 }
        return nil
    }

    /// Once for each session that arrived and was counted, when nothing of it goes on.
    package mutating func left(_ peer: PeerCredentials, _ scope: SessionScope) {
        for group in Self.groups(peer, scope).map(\.group) + [.all] {
            let count = counts[group, default: 0]
            precondition(count > 0, "a session left that had not arrived")
            counts[group] = count == 1 ? nil : count - 1
        }
    }

    /// Groups that have a session.
    package var groupCount: Int { counts.count }
}
