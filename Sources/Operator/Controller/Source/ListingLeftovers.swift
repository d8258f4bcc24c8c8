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
    /// Those that are there, by uid.
    private var present: [String: ListingJobView] = [:]
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
    public mutating func isGone(uid: String) { present[uid] = nil }

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

    /// The Jobs to delete, each with its uid as the condition.
    public var leftovers: [ListingJobView] {
        present.values.filter(isLeft).sorted { ($0.key, $0.uid) < ($1.key, $1.uid) }
    }

    private func isLeft(_ job: ListingJobView) -> Bool { !job.isDeleting && followers[job.key] == nil }
}
