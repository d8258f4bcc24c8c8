public import AgentAPI

/// The operator's knowledge of the callers that may open caches; definitions carry it.
public enum CallerKnowledge: Sendable, Equatable {
    /// Nobody is asked for a token: keys cannot be had, and the operator was told to do without.
    case unverified
    /// Not yet, or not to be had; the reason, for people. Agents refuse everybody, but for those that know keys from
    /// before.
    case unknown(why: String)
    case known(CallerPolicy)

    /// For ``CacheDefinition/callers``.
    public var policy: CallerPolicy? {
        switch self {
        case .unverified: nil
        case .unknown: .unknown
        case .known(let policy): policy
        }
    }

    /// Whether the agent that gave this report checks callers as it should.
    public func isInForce(_ report: CacheReport) -> Bool {
        switch self {
        case .unverified: report.callersDigest == nil
        // Keys from before stay good.
        case .unknown: report.callersDigest != nil
        case .known(let policy): report.callersDigest == policy.digest
        }
    }

    /// Whether a warm-up Job's token can be verified by the agent that gave this report.
    public func admitsJobs(_ report: CacheReport?) -> Bool {
        guard case .unknown = self else { return true }
        return report?.callersDigest.map { $0 != CallerPolicy.unknown.digest } ?? false
    }
}
