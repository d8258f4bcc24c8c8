/// Names the settings of a ModelCache in texts that the store's client wrote.
///
/// The client, agents and Jobs name the environment's variables, which warm-up Jobs have from the ModelCache. The
/// author of a ModelCache knows the fields of its spec. A pure value.
public enum SpecWords {
    /// A longer text stands before those that begin it or that it contains.
    private static let fields: [(variable: String, field: String)] = [
        ("MODELCACHE_REQUEST_PAYER=requester (spec.source.requesterPays)", "spec.source.requesterPays: true"),
        ("MODELCACHE_REQUEST_PAYER=requester", "spec.source.requesterPays: true"),
        ("MODELCACHE_INCLUDE (spec.source.include)", "spec.source.include"),
        ("(OSS_PATH, spec.source.uri)", "(spec.source.uri)"),
        ("MODELCACHE_INCLUDE", "spec.source.include"), ("MODELCACHE_ADDRESSING", "spec.source.addressing"),
        ("OSS_ENDPOINT", "spec.source.endpoint"), ("OSS_REGION", "spec.source.region"),
        ("OSS_PATH", "spec.source.uri"),
    ]

    /// The text with the fields of `spec.source` in place of the variables that have the same meaning.
    ///
    /// Variables that a Secret may have as entries (`OSS_ACCESS_KEY_ID`) stay.
    public static func named(_ text: String) -> String {
        var text = text
        for (variable, field) in fields { text = text.replacing(variable, with: field) }
        return text
    }
}
