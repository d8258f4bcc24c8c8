internal import AgentAPI
internal import Kubernetes

/// A role that the cluster gives a Job's pod: its webhook, or EKS Pod Identity's, puts variables and a token into it.
/// The command takes that role and no other, asks for keys and hands these to the agent.
enum GivenRole {
    /// - Parameter source: with the endpoint filled in.
    static func variables(source: CacheDefinition.Source, _ access: ServiceAccess) -> [EnvVar] {
        [EnvVar(name: "MODELCACHE_CREDENTIALS", value: "pod")]
            + access.sts(ofOSS: !source.uri.lowercased().hasPrefix("s3:"))
    }
}
