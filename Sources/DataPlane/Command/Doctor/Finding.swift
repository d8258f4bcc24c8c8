/// One result of `modelcache doctor`.
struct Finding: Encodable {
    enum Verdict: String, Encodable {
        case good
        /// Works, but slower or with fewer features.
        case warning
        /// The main task cannot work.
        case bad
    }

    let subject: String
    let verdict: Verdict
    /// The observed fact.
    let fact: String
    /// The remedy; nil when none is needed.
    let remedy: String?

    static func good(_ subject: String, _ fact: String) -> Finding {
        Finding(subject: subject, verdict: .good, fact: fact, remedy: nil)
    }

    static func warning(_ subject: String, _ fact: String, _ remedy: String) -> Finding {
        Finding(subject: subject, verdict: .warning, fact: fact, remedy: remedy)
    }

    static func bad(_ subject: String, _ fact: String, _ remedy: String) -> Finding {
        Finding(subject: subject, verdict: .bad, fact: fact, remedy: remedy)
    }
}
