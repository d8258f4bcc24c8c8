public import AgentAPI

/// One step towards what is wanted. Steps are carried out in order; when one fails, those after it wait for the next plan,
/// except that agents and Jobs of different nodes do not hold each other up.
public enum Action: Sendable, Equatable {
    /// Before anything is made, so that nothing is left behind.
    case addFinalizer
    case removeFinalizer
    /// List the source (in the background); `secretOnly`: see whether the Secret has changed and list only then.
    case resolve(secretOnly: Bool)
    case createVolume(CacheVolume)
    case createClaim(CacheVolume)
    case deleteVolume(VolumeView)
    case deleteClaim(ClaimView)
    /// Ask a node's agent for the cache's directory and socket, or to change pin and limits.
    case prepare(node: String, CacheDefinition)
    /// Ask a node's agent to drop the cache, which it does unless somebody reads it: it knows that better than its last report.
    case evict(node: String)
    /// On a person's request: drop one node's copy, and then its Job, so that the copy comes back as the spec says. Tried once.
    case refresh(node: String, JobView?)
    /// The request was carried out, or could not be.
    case clearEvictionRequest(EvictionWish)
    case deleteJob(JobView)
    case createJob(WarmupJob)
    /// Delete, then create under the same name.
    case replaceJob(JobView, WarmupJob)
}
