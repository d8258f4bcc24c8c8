// The quota of a namespace: which ModelCaches may have copies, by the bytes of their models.
//
// A model has at most one copy on a node. So the sizes of a namespace's models, added up, bound the bytes that the
// namespace can have on any node, whichever nodes come, go, or have pods that read. The limit is on this sum.
//
// The limits are keys of Kubernetes' own ResourceQuota: tenants may read these objects and not write them, they are
// namespaced as the ModelCaches are, and an operator that is bound to one namespace can watch them there.
//
// A ModelCache is *admitted* once there was capacity for it, and stays so. As with the server's own quotas, a limit
// that is lowered takes nothing back. Each admitted one counts. The others follow by age: each that fits is admitted.

internal import AgentAPI
public import CRD
public import Kubernetes

/// The limits on models in one ResourceQuota.
public struct QuotaView: Sendable, Hashable {
    /// The resources' names in `spec.hard`.
    public static let memoryKey = "modelcache.io/memory"
    public static let diskKey = "modelcache.io/disk"

    public var namespace: String
    public var name: String
    /// Bytes, by medium; a medium without a limit is not there.
    public var limits: [Cache.Medium: Int64]

    public init(namespace: String, name: String, limits: [Cache.Medium: Int64]) {
        self.namespace = namespace
        self.name = name
        self.limits = limits
    }

    /// Nil for one that says nothing of models. The server keeps quantities that it understands, and no negative ones.
    public init?(_ quota: ResourceQuota) {
        let hard = quota.spec?.hard ?? [:]
        var limits: [Cache.Medium: Int64] = [:]
        for medium in Cache.Medium.allCases {
            if let bytes = hard[Self.key(medium)]?.value { limits[medium] = max(0, bytes) }
        }
        guard !limits.isEmpty else { return nil }
        self.init(namespace: quota.objectKey.namespace, name: quota.objectKey.name, limits: limits)
    }

    public static func key(_ medium: Cache.Medium) -> String {
        switch medium {
        case .memory: memoryKey
        case .disk: diskKey
        }
    }
}

/// One ModelCache's part of its namespace's quota.
public struct QuotaDemand: Sendable, Hashable {
    public var uid: String
    /// `metadata.creationTimestamp`: RFC 3339 in UTC, so that its text sorts by time.
    public var createdAt: String
    public var medium: Cache.Medium
    /// The size of the model.
    public var bytes: Int64
    public var isAdmitted: Bool

    public init(uid: String, createdAt: String, medium: Cache.Medium, bytes: Int64, isAdmitted: Bool) {
        self.uid = uid
        self.createdAt = createdAt
        self.medium = medium
        self.bytes = max(0, bytes)
        self.isAdmitted = isAdmitted
    }
}

/// Why a quota has no capacity for a ModelCache.
public struct QuotaExcess: Sendable, Hashable {
    /// The ResourceQuota with the lowest limit, and its key.
    public var quota: String
    public var key: String
    public var limitBytes: Int64
    public var neededBytes: Int64
    /// The bytes of those that come first, and how many these are.
    public var takenBytes: Int64
    public var others: Int

    public init(quota: String, key: String, limitBytes: Int64, neededBytes: Int64, takenBytes: Int64, others: Int) {
        self.quota = quota
        self.key = key
        self.limitBytes = limitBytes
        self.neededBytes = neededBytes
        self.takenBytes = takenBytes
        self.others = others
    }

    public var message: String {
        "the model has \(Words.bytes(neededBytes)), and \(key) of the ResourceQuota \(quota) allows the namespace "
            + "\(Words.bytes(limitBytes)), of which \(Words.count(others, "other ModelCache")) "
            + "\(others == 1 ? "has" : "have") \(Words.bytes(takenBytes)). No node gets it anew; copies that are there "
            + "stay. Delete a ModelCache of the namespace, or ask the cluster's administrator for a greater quota"
    }
}

/// The quotas of one namespace, and the decision by them: a pure value.
public struct NamespaceQuota: Sendable, Hashable {
    private let quotas: [QuotaView]

    public init(_ quotas: some Sequence<QuotaView>) {
        // The lowest limit counts; the name settles which one is told.
        self.quotas = quotas.sorted { $0.name < $1.name }
    }

    /// The lowest limit on a medium; nil: there is none.
    public func limit(_ medium: Cache.Medium) -> (quota: String, bytes: Int64)? {
        quotas.compactMap { quota in quota.limits[medium].map { (quota: quota.name, bytes: $0) } }
            .min { $0.bytes < $1.bytes }
    }

    /// Why there is no capacity for a ModelCache; nil: it may have copies.
    ///
    /// Those that are admitted come first, then the others, each group by age. The order of `demands` does not matter.
    ///
    /// - Parameter demands: of the namespace's ModelCaches whose size is known.
    public func excess(of uid: String, among demands: some Sequence<QuotaDemand>) -> QuotaExcess? {
        guard let own = demands.first(where: { $0.uid == uid }), let limit = limit(own.medium) else { return nil }
        let rivals = demands.filter { $0.medium == own.medium }.sorted { $0.precedes($1) }
        var taken: Int64 = 0
        var others = 0
        // Also those that a lowered limit leaves out have their bytes: nobody new comes before they are gone.
        if !own.isAdmitted {
            for rival in rivals where rival.isAdmitted {
                taken = taken.addedClamping(rival.bytes)
                others += 1
            }
        }
        for rival in rivals where rival.isAdmitted == own.isAdmitted {
            let fits = taken <= limit.bytes && rival.bytes <= limit.bytes - taken
            if rival.uid == uid {
                return fits
                    ? nil
                    : QuotaExcess(
                        quota: limit.quota, key: QuotaView.key(own.medium), limitBytes: limit.bytes,
                        neededBytes: own.bytes, takenBytes: taken, others: others)
            }
            guard fits || rival.isAdmitted else { continue }
            taken = taken.addedClamping(rival.bytes)
            others += 1
        }
        return nil
    }
}

extension QuotaDemand {
    fileprivate func precedes(_ other: QuotaDemand) -> Bool { (createdAt, uid) < (other.createdAt, other.uid) }
}
