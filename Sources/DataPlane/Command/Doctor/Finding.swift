/// One thing the doctor looked at.
struct Finding: Encodable {
    enum Verdict: String, Encodable {
        case good
        /// Works, but slower or with less.
        case warning
        /// The main job cannot work.
        case bad
    }

    let subject: String
    let verdict: Verdict
    /// What was seen.
    let fact: String
    /// What to do; nil when nothing needs doing.
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
