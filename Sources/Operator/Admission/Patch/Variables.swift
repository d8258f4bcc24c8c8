internal import Kubernetes

/// The variables that containers get.
enum Variables {
    static let preload = "LD_PRELOAD"
    static let modelDirectory = "MODEL_DIR"
    /// Directories of all models but the first.
    static let models = "MODELCACHE_MODELS"
    /// Taken from a target: what says where the model comes from. No other may come from there.
    private static let source: Set<String> = [
        "OSS_PATH", "OSS_ENDPOINT", "OSS_REGION", "MODELCACHE_INCLUDE", "MODELCACHE_ADDRESSING",
        "MODELCACHE_REQUEST_PAYER",
    ]
    /// Half of one pair of keys with half of another opens nothing: these are taken together or not at all.
    static let keys: Set<String> = [
        "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ]

    /// As entries of `env`.
    ///
    /// - Parameter withKeys: the references to the keys too.
    static func ofSource(_ target: InjectionTarget, withKeys: Bool) -> [JSONValue] {
        let place: [JSONValue] = target.environment.compactMap { variable in
            guard source.contains(variable.name), let value = variable.value else { return nil }
            return literal(variable.name, value)
        }
        return withKeys ? place + references(target) : place
    }

    private static func references(_ target: InjectionTarget) -> [JSONValue] {
        target.directKeys.compactMap { variable in
            guard keys.contains(variable.name), let reference = variable.valueFrom?.secretKeyRef else { return nil }
            return [
                "name": .string(variable.name),
                "valueFrom": [
                    "secretKeyRef": ["name": .string(reference.name), "key": .string(reference.key), "optional": true]
                ],
            ]
        }
    }

    /// The same for the n-th entry of ``models``, from 1: under names that the library takes for that entry alone.
    static func ofSource(_ target: InjectionTarget, entry: Int, withKeys: Bool) -> [JSONValue] {
        ofSource(target, withKeys: withKeys).map { variable in
            guard case .object(var members) = variable, let name = members["name"]?.text else { return variable }
            members["name"] = .string("MODELCACHE_MODEL_\(entry)_\(name)")
            return .object(members)
        }
    }

    /// `$(NAME)` in a value is replaced by the kubelet, `$$(NAME)` stands for itself
    /// (https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/).
    static func literal(_ name: String, _ value: String) -> JSONValue {
        // By scalars, as the kubelet reads it: a combining mark behind a parenthesis makes another character of it.
        var escaped = String.UnicodeScalarView()
        for scalar in value.unicodeScalars {
            if scalar == "(", escaped.last == "$" { escaped.append("$") }
            escaped.append(scalar)
        }
        return ["name": .string(name), "value": .string(String(escaped))]
    }
}
