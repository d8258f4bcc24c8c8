internal import Crypto
public import AgentAPI
internal import TextCoding

/// Names, labels and paths of everything the operator makes. All of them follow from the ModelCache and the node, so a
/// second attempt after a crash meets what the first one made.
public enum Names {
    public static let fieldOwner = "modelcache-operator"
    public static let managedByLabel = "app.kubernetes.io/managed-by"
    public static let managedBy = "modelcache-operator"
    /// Label: uid of the ModelCache a thing belongs to.
    public static let uidLabel = "modelcache.io/uid"
    /// Label: name of the ModelCache, for `kubectl get jobs -l`. It has at most 63 characters.
    public static let nameLabel = "modelcache.io/name"
    /// Label of Jobs that list a source, and of their pods.
    public static let componentLabel = "app.kubernetes.io/component"
    public static let listingComponent = "listing"
    /// Annotation: name of the ModelCache.
    public static let nameAnnotation = "modelcache.io/name"
    /// Annotation of a volume: namespace of the ModelCache.
    public static let namespaceAnnotation = "modelcache.io/namespace"
    /// Annotation of a Job: the node it warms.
    public static let nodeAnnotation = "modelcache.io/node"
    /// Annotation of a Job: ``Attempt`` in text.
    public static let attemptAnnotation = "modelcache.io/attempt"
    /// Annotation of a Job that fills a node for the pods there alone; absent on others.
    public static let forPodsAnnotation = "modelcache.io/for-pods"
    /// Label of the agents' pods.
    public static let agentLabel = (key: "app.kubernetes.io/name", value: "modelcache-agent")

    /// The longest part of a ModelCache's name that other names carry: with `-warm-` and ten digits it stays under the
    /// 63 characters that a Job's name may have, since the Job controller puts it in a label of its pods.
    private static let longestStem = 40

    public static func job(cache name: String, uid: String, node: String) -> String {
        "\(stem(name))-warm-\(digits("\(uid)/\(node)"))"
    }

    public static func listing(cache name: String, uid: String) -> String { "\(stem(name))-list-\(digits(uid))" }

    public static func claim(cache name: String, uid: String) -> String { "\(stem(name))-cache-\(digits(uid))" }

    public static func volume(uid: String) -> String { "modelcache-\(uid)" }

    public static let standardDiskPath = "/var/lib/modelcache"

    /// The cache's directory on every node.
    ///
    /// - Parameter diskPath: the nodes' folder for models on disk.
    public static func directory(
        uid: String, medium: CacheDefinition.Medium,
        diskPath: String = standardDiskPath
    ) -> String {
        switch medium {
        case .memory: "/run/modelcache/caches/\(uid)"
        case .disk: "\(diskPath)/caches/\(uid)"
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
        Hex.encode(SHA256.hash(data: Array(text.utf8)))
    }

    /// The first eight bytes as a number, for rendezvous hashing.
    static func number(_ text: String) -> UInt64 {
        SHA256.hash(data: Array(text.utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
