internal import Crypto
public import AgentAPI

/// Names, labels and paths of everything the operator makes. All of them follow from the ModelCache and the node, so a second
/// attempt after a crash meets what the first one made.
public enum Names {
    public static let fieldOwner = "modelcache-operator"
    public static let finalizer = "modelcache.io/evict"
    public static let managedByLabel = "app.kubernetes.io/managed-by"
    public static let managedBy = "modelcache-operator"
    /// Label: uid of the ModelCache a thing belongs to.
    public static let uidLabel = "modelcache.io/uid"
    /// Annotation: name of the ModelCache.
    public static let nameAnnotation = "modelcache.io/name"
    /// Annotation of a volume: namespace of the ModelCache.
    public static let namespaceAnnotation = "modelcache.io/namespace"
    /// Annotation of a Job: the node it warms.
    public static let nodeAnnotation = "modelcache.io/node"
    /// Annotation of a Job: ``Attempt`` in text.
    public static let attemptAnnotation = "modelcache.io/attempt"
    /// Label of the agents' pods.
    public static let agentLabel = (key: "app.kubernetes.io/name", value: "modelcache-agent")

    /// The longest part of a ModelCache's name that other names carry: with `-warm-` and ten digits it stays under the
    /// 63 characters that a Job's name may have, since the Job controller puts it in a label of its pods.
    private static let longestStem = 40

    public static func job(cache name: String, uid: String, node: String) -> String {
        "\(stem(name))-warm-\(digits("\(uid)/\(node)"))"
    }

    public static func claim(cache name: String, uid: String) -> String { "\(stem(name))-cache-\(digits(uid))" }

    public static func volume(uid: String) -> String { "modelcache-\(uid)" }

    /// The cache's directory on every node.
    public static func directory(uid: String, medium: CacheDefinition.Medium) -> String {
        switch medium {
        case .memory: "/run/modelcache/caches/\(uid)"
        case .disk: "/var/lib/modelcache/caches/\(uid)"
        }
    }

    /// A cut may leave a dot or hyphen at the end, after which no label of a DNS name may begin.
    private static func stem(_ name: String) -> String {
        var stem = name.prefix(longestStem)
        while let last = stem.last, last == "." || last == "-" { stem.removeLast() }
        return String(stem)
    }

    private static func digits(_ text: String) -> String {
        String(Digest.sha256(text).prefix(10))
    }
}

/// SHA-256 as lowercase hexadecimal digits.
enum Digest {
    static func sha256(_ text: String) -> String {
        SHA256.hash(data: Array(text.utf8)).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// The first eight bytes as a number, for rendezvous hashing.
    static func number(_ text: String) -> UInt64 {
        SHA256.hash(data: Array(text.utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
