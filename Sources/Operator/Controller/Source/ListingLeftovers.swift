public import Kubernetes

/// The facts about a Job that lists a source, as the watch tells of it.
public struct ListingJobView: Sendable, Hashable {
    public var key: ObjectKey
    public var uid: String
    public var isDeleting: Bool

    public init(key: ObjectKey, uid: String, isDeleting: Bool = false) {
        self.key = key
        self.uid = uid
        self.isDeleting = isDeleting
    }

    /// Nil for a Job that is not one of ours after all: its owner and its own name must be what we would have written.
    public init?(_ job: JobOutline) {
        guard job.metadata.labels?[Names.componentLabel] == Names.listingComponent,
            let owner = Owner.controlling(job.metadata.ownerReferences),
            job.objectKey.name == Names.listing(cache: owner.name, uid: owner.uid)
        else { return nil }
        self.init(key: job.objectKey, uid: job.uid, isDeleting: job.metadata.deletionTimestamp != nil)
    }
}

/// Which listing Jobs nobody follows: a pure value that ``ListingSweep`` carries out.
///
/// An operator that was killed leaves its Jobs behind, and one whose deletion was not answered may leave one. No look
/// reads the result of such a Job, since each look makes its own, so it is deleted as soon as the watch tells of it.
public struct ListingLeftovers: Sendable {
    /// A deletion that the API server did not take.
    private struct Refusal: Sendable {
        var reason: String
        var times: Int
        var next: WallTime
    }

    private static let firstPause: Duration = .seconds(3)
    /// A right that is missing, or a webhook that is away, is mended by a person.
    private static let longestPause: Duration = .seconds(300)

    /// Those that are there, by uid.
    private var present: [String: ListingJobView] = [:]
    /// Of those that are there, by uid.
    private var refusals: [String: Refusal] = [:]
    /// How many looks follow a Job of this name: an outdated one may end after the next has begun.
    private var followers: [ObjectKey: Int] = [:]

    public init() {}

    /// The watch tells that the Job is there.
    ///
    /// - Returns: whether there is something to delete.
    public mutating func saw(_ job: ListingJobView) -> Bool {
        present[job.uid] = job
        return isLeft(job)
    }

    /// The Job is gone, or the API server has taken its deletion.
    public mutating func isGone(uid: String) {
        present[uid] = nil
        refusals[uid] = nil
    }

    /// The API server did not take the deletion: after 3 s it is asked again, then after twice as long each time, up to
    /// 5 minutes.
    ///
    /// - Returns: how long to wait, and whether the reason is not the last one's.
    public mutating func isRefused(uid: String, _ reason: String, now: WallTime) -> (pause: Duration, isNews: Bool) {
        let times = refusals[uid].map { $0.times + 1 } ?? 0
        let isNews = refusals[uid]?.reason != reason
        let pause = min(Self.longestPause, Self.firstPause * (1 << min(times, 10)))
        // One that went meanwhile is not remembered.
        if present[uid] != nil { refusals[uid] = Refusal(reason: reason, times: times, next: now + pause) }
        return (pause, isNews)
    }

    /// A look is about to make a Job of this name. It deletes one that is there by itself.
    public mutating func follow(_ key: ObjectKey) { followers[key, default: 0] += 1 }

    /// A look that followed a Job of this name has ended.
    ///
    /// - Returns: whether there is something to delete.
    public mutating func leave(_ key: ObjectKey) -> Bool {
        guard let count = followers[key] else { preconditionFailure("nobody follows the Job \(key)") }
        followers[key] = count > 1 ? count - 1 : nil
        return present.values.contains { $0.key == key && isLeft($0) }
    }

    /// The Jobs to delete now, each with its uid as the condition.
    public func leftovers(now: WallTime) -> [ListingJobView] {
        present.values.filter { job in isLeft(job) && refusals[job.uid].map { $0.next <= now } ?? true }
            .sorted { ($0.key, $0.uid) < ($1.key, $1.uid) }
    }

    private func isLeft(_ job: ListingJobView) -> Bool { !job.isDeleting && followers[job.key] == nil }
}
