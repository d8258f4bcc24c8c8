public import AgentAPI
public import Kubernetes

/// The variables that tell a container where a ModelCache's source is and where its keys are: of warm-up Jobs and of injected pods.
public enum SourceEnvironment {
    /// `OSS_PATH`, `OSS_ENDPOINT`, `OSS_REGION`, `MODELCACHE_INCLUDE` and the keys, as references to the Secret's entries, never
    /// their values.
    ///
    /// - Parameters:
    ///   - source: with the endpoint filled in.
    ///   - secret: names of the Secret's entries; nil: a public source.
    ///   - keysAreOptional: a container starts without its Secret. A Job does not: it waits and says so.
    public static func variables(source: CacheDefinition.Source, secret: SecretView?, keysAreOptional: Bool) -> [EnvVar] {
        var variables = [EnvVar(name: "OSS_PATH", value: source.uri)]
        if let endpoint = source.endpoint { variables.append(EnvVar(name: "OSS_ENDPOINT", value: endpoint)) }
        if let region = source.region { variables.append(EnvVar(name: "OSS_REGION", value: region)) }
        if !source.include.isEmpty {
            variables.append(EnvVar(name: "MODELCACHE_INCLUDE", value: source.include.joined(separator: ",")))
        }
        guard let secret else { return variables }
        func reference(_ variable: String, _ key: String, isOptional: Bool) {
            let selector = KeySelector(name: secret.name, key: key, optional: isOptional ? true : nil)
            variables.append(EnvVar(name: variable, valueFrom: EnvVarSource(secretKeyRef: selector)))
        }
        reference("OSS_ACCESS_KEY_ID", secret.keys.keyID, isOptional: keysAreOptional)
        reference("OSS_ACCESS_KEY_SECRET", secret.keys.secret, isOptional: keysAreOptional)
        // A token may come and go with a rotation while the container is there.
        reference("OSS_SESSION_TOKEN", secret.keys.token, isOptional: true)
        return variables
    }
}
