public import AgentAPI

/// One step towards what is wanted. Steps are carried out in order; when one fails, those after it wait for the next
/// plan, except that Jobs of different nodes do not hold each other up. An agent's answer is not waited for: it makes
/// another plan (see ``OrderRunner``).
public enum Action: Sendable, Equatable {
    /// Before anything is made, so that nothing is left behind.
    case addFinalizer
    case removeFinalizer
    /// List the source (in the background).
    case resolve
    case createVolume(CacheVolume)
    case createClaim(CacheVolume)
    case deleteVolume(VolumeView)
    case deleteClaim(ClaimView)
    /// Ask a node's agent for the cache's directory and socket, or to change pin and limits.
    case prepare(node: String, CacheDefinition)
    /// Ask a node's agent to drop the cache, which it does unless somebody reads it: it knows that better than its last
    /// report. `force`: though somebody reads it.
    case evict(node: String, force: Bool)
    /// On a person's request: drop one node's copy, so that it comes back as the spec says. Tried once.
    case refresh(node: String)
    /// Mark a person's request as begun, before its first copy goes.
    case beginEviction(RequestedEviction)
    /// The request was carried out, or could not be.
    case clearEvictionRequest
    case deleteJob(JobView)
    /// See why a Job makes no progress.
    case examineJob(JobView)
    case createJob(WarmupJob)
    /// Delete, then create under the same name.
    case replaceJob(JobView, WarmupJob)
}
