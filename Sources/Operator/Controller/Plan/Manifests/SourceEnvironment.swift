public import AgentAPI
public import Kubernetes

/// The variables that tell a container where a ModelCache's source is: of Jobs and of injected pods.
public enum SourceEnvironment {
    /// `OSS_PATH`, `OSS_ENDPOINT`, `OSS_REGION`, `MODELCACHE_INCLUDE`, `MODELCACHE_ADDRESSING` and
    /// `MODELCACHE_REQUEST_PAYER`. No keys.
    ///
    /// - Parameter source: with the endpoint filled in.
    public static func variables(source: CacheDefinition.Source) -> [EnvVar] {
        var variables = [EnvVar(name: "OSS_PATH", value: source.uri)]
        if let endpoint = source.endpoint { variables.append(EnvVar(name: "OSS_ENDPOINT", value: endpoint)) }
        if let region = source.region { variables.append(EnvVar(name: "OSS_REGION", value: region)) }
        if !source.include.isEmpty {
            variables.append(EnvVar(name: "MODELCACHE_INCLUDE", value: source.include.joined(separator: ",")))
        }
        if let addressing = source.addressing {
            variables.append(EnvVar(name: "MODELCACHE_ADDRESSING", value: addressing))
        }
        if source.requesterPays == true {
            variables.append(EnvVar(name: "MODELCACHE_REQUEST_PAYER", value: "requester"))
        }
        return variables
    }

    /// References to the keys in a Secret, never their values, for a pod that asks for them. All are optional: a
    /// missing Secret must not hold a pod back.
    ///
    /// Each family of entries has variables of its own name, of which the agent takes the first pair that is complete.
    /// So the entries need not be known here. Those of ACK's OSS volumes (`akId`) are no variables.
    public static func directKeys(secretName: String, source: CacheDefinition.Source) -> [EnvVar] {
        var names = ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"]
        if source.uri.lowercased().hasPrefix("s3:") {
            names += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        }
        return names.map { name in
            EnvVar(
                name: name,
                valueFrom: EnvVarSource(secretKeyRef: KeySelector(name: secretName, key: name, optional: true)))
        }
    }
}
