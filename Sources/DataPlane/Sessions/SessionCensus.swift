/// Counts sessions, and says who may have another: a bound on what one program, one user and one cache's clients can
/// use. A session counts until its client is gone and the agent does nothing for it any more.
///
/// A value. A process whose number the kernel does not tell, for it lives in a container whose processes the agent
/// cannot see, is bounded by its cache and user alone.
package struct SessionCensus: Sendable {
    /// A program has one session and one for its notices; a tool that reads with many processes has them in each.
    package static let mostOfProcess = 128
    package static let mostOfUser = 2048
    /// A node runs hundreds of pods at most.
    package static let mostOfScope = 1024
    package static let mostOfAll = 4096

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
        let place = if case .cache = scope { "this ModelCache's socket" } else { "the agent's socket" }
        return process + [
            (.user(peer.userID), mostOfUser, "user \(peer.userID)"), (.scope(scope), mostOfScope, place),
            (.all, mostOfAll, "this agent"),
        ]
    }

    /// Nil: the session is counted from now on. Else why it is refused, with the remedy.
    package mutating func arrived(_ peer: PeerCredentials, _ scope: SessionScope) -> String? {
        let groups = Self.groups(peer, scope)
        if let full = groups.first(where: { counts[$0.group, default: 0] >= $0.most }) {
            return
                "\(full.words) has \(full.most) connections to the agent, which is the most, those included whose opening still goes on though the client is gone; close some of them and connect again"
        }
        for entry in groups { counts[entry.group, default: 0] += 1 }
        return nil
    }

    /// Once for each session that arrived and was counted, when nothing of it goes on.
    package mutating func left(_ peer: PeerCredentials, _ scope: SessionScope) {
        for entry in Self.groups(peer, scope) {
            let count = counts[entry.group, default: 0]
            precondition(count > 0, "a session left that had not arrived")
            counts[entry.group] = count == 1 ? nil : count - 1
        }
    }

    /// Groups that have a session.
    package var groupCount: Int { counts.count }
}
