public import AgentAPI
public import Kubernetes
internal import TextCoding

/// The Secret that operator and agents share. The operator makes it when there is none; the agents' pods wait for it.
public struct AgentAuth: Sendable {
    public static let secretName = "modelcache-agent-auth"
    public static let key = "secret"
    /// 256 bits, what the HMAC's hash can use.
    private static let secretBytes = 32

    let client: KubernetesClient
    let namespace: String

    public init(client: KubernetesClient, namespace: String) {
        self.client = client
        self.namespace = namespace
    }

    /// Reads the Secret, after making it when it is absent. Two operators that do so at once end with the same one.
    /// - Throws: `KubernetesError`; nil when the Secret is there and holds no usable line.
    public func load() async throws -> AuthSecret? {
        let key = ObjectKey(namespace: namespace, name: Self.secretName)
        if let secret = try await client.find(Secret.self, key) { return Self.read(secret) }
        var generator = SystemRandomNumberGenerator()
        let text = Hex.encode((0..<Self.secretBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
        let made = Secret(
            metadata: ObjectMeta(
                name: Self.secretName, namespace: namespace, labels: [Names.managedByLabel: Names.managedBy]),
            type: "Opaque", data: [Self.key: Base64Data(text: text)])
        do {
            return Self.read(try await client.create(made, WriteOptions(fieldManager: Names.fieldOwner)))
        } catch let error as KubernetesError where error.isAlreadyExists {
            return Self.read(try await client.get(Secret.self, key))
        }
    }

    private static func read(_ secret: Secret) -> AuthSecret? {
        secret.data?[key]?.text.flatMap { AuthSecret(contents: $0) }
    }
}
