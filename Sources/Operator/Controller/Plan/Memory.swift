/// The state that an operator remembers of a ModelCache between two plans. Losing it, as a restart does, costs at most
/// some repeated questions: nothing that must survive is kept here alone.
public struct Memory: Sendable, Hashable {
    /// An agent or the API server said no; not before `until` is it asked again.
    public struct Refusal: Sendable, Hashable {
        public var message: String
        public var until: WallTime
        public var failures: Int
        /// Of the first in a row.
        public var since: WallTime

        public init(message: String, until: WallTime, failures: Int, since: WallTime) {
            self.message = message
            self.until = until
            self.failures = failures
            self.since = since
        }

        /// The same again: waits from 5 s doubling to 5 minutes.
        public static func next(after before: Refusal?, message: String, now: WallTime) -> Refusal {
            let failures = (before?.failures ?? 0) + 1
            return Refusal(
                message: message, until: now + .seconds(min(300, 5 << min(failures - 1, 6))), failures: failures,
                since: before?.since ?? now)
        }
    }

    /// A person's request for an eviction, and the nodes that are done: whether their copy was dropped.
    public struct Refresh: Sendable, Hashable {
        /// ``RequestedEviction/text``.
        public var text: String
        public var nodes: [String: Bool] = [:]

        public init(text: String) { self.text = text }
    }

    /// A claim that somebody deletes, though the ModelCache stays.
    public struct ClaimDeletion: Sendable, Hashable {
        public var uid: String
        public var since: WallTime
    }

    /// By node, the hash of the definition that its agent took last: a changed limit must reach it, and reports do not
    /// show limits.
    public var sent: [String: Int] = [:]
    /// Agents that refused to prepare the cache, by node.
    public var refusals: [String: AgentRefusal] = [:]
    /// Jobs without progress that were looked at, by uid.
    public var examinations: [String: JobExamination] = [:]
    /// Nodes whose Job was ended because its pod did not start.
    public var stalls: [String: StalledStart] = [:]
    /// Pods that were told why their model does not come, by uid and reason, and when.
    public var toldPods: [String: WallTime] = [:]
    /// Pods that wait and had a Job at work for them, by node: their uids.
    public var triedPods: [String: Set<String>] = [:]
    /// The claim that is being deleted, and since when.
    public var claimDeletion: ClaimDeletion?
    /// The API server refused a Job, claim or volume.
    public var refusedWrites: Refusal?
    /// The API server failed at making a Job, claim or volume, which is no refusal yet.
    public var failedWrites: Refusal?
    /// Since when nodes fail whose Jobs have a Secret.
    public var nodesFailSince: WallTime?
    /// When a plan first took the source to be as the status says; of use until this operator has listed it.
    public var sourceKnownSince: WallTime?
    /// The digest of the last listing that every copy was of.
    public var rolledOut: String?
    /// Digests that an agent reported in place of the recorded one, with the time the source was asked about it.
    public var questioned: [String: WallTime] = [:]
    /// Nodes whose failure had its Event.
    public var announced: Set<String> = []
    public var statusWrittenAt: WallTime?
    /// Since when a change of the status waits for more to go with it.
    public var statusHeldSince: WallTime?
    /// The nodes that the last plan knew with a copy; nil: the status tells.
    public var holders: CopyHolders?
    /// The eviction that a person asked for, while it is carried out.
    public var refresh: Refresh?
    /// Deletion: when it was first seen, by this machine's clock; the API server's may be another.
    public var deletionSeenAt: WallTime?
    /// Deletion: agents that were asked last at.
    public var evictionAsked: [String: WallTime] = [:]
    /// Deletion: agents that answered neither "gone" nor "in use".
    public var evictionRefused: [String: Refusal] = [:]

    public init() {}

    /// A node's part of a person's request for an eviction is done; of one that a newer request has replaced, nothing.
    public mutating func refreshed(_ node: String, isDropped: Bool, request: String) {
        if refresh?.text == request { refresh?.nodes[node] = isDropped }
    }

    /// The fate of a plan's Jobs, claims and volumes at the API server.
    public enum Writes: Sendable, Equatable {
        case made
        /// It would refuse them again; in words, why.
        case refused(String)
        /// It may take them at the next try; in words, why not at this one.
        case failed(String)
    }

    /// So often, and for so long, a write may fail before that counts as a refusal: an API server that changes its
    /// leader, or loses one of its replicas, is no news.
    private static let mostFailures = 3
    private static let longestFailure: Duration = .seconds(5)
    /// A failure from so long before the next one is none in a row.
    private static let failuresLifetime: Duration = .seconds(300)

    /// A plan's writes have ended.
    ///
    /// - Returns: whether the next plan differs by it: one holds back what is refused, and says so.
    public mutating func ended(_ writes: Writes, now: WallTime) -> Bool {
        let message: String
        switch writes {
        case .made:
            failedWrites = nil
            defer { refusedWrites = nil }
            return refusedWrites != nil
        case .refused(let why): message = why
        case .failed(let why):
            let before = failedWrites.flatMap { now - $0.until > Self.failuresLifetime ? nil : $0 }
            let failed = Refusal.next(after: before, message: why, now: now)
            failedWrites = failed
            let isLasting = failed.failures >= Self.mostFailures && now - failed.since >= Self.longestFailure
            guard isLasting || refusedWrites != nil else { return false }
            message = why
        }
        refusedWrites = .next(after: refusedWrites, message: message, now: now)
        return true
    }

    /// Drops what is remembered of nodes that have no agent any more: clusters that scale make new names every day.
    mutating func forgetNodes(besides agents: [String: AgentView]) {
        func kept<Value>(_ table: [String: Value]) -> [String: Value] {
            table.count > agents.count ? table.filter { agents[$0.key] != nil } : table
        }
        sent = kept(sent)
        refusals = kept(refusals)
        stalls = kept(stalls)
        evictionAsked = kept(evictionAsked)
        evictionRefused = kept(evictionRefused)
    }
}
