/// The result of a look at the pods and Events of a Job without progress.
public struct JobExamination: Sendable, Hashable {
    public enum Verdict: Sendable, Hashable {
        /// A pod of it runs, or has run and the next one is due: the Job counts its failures itself.
        case running
        /// No pod of it runs; `reason` is the pod's own word, such as `ImagePullBackOff`.
        case stuck(reason: String, message: String)
    }

    public var verdict: Verdict
    public var at: WallTime
    /// Uids of pods that wait for their start.
    public var pending: Set<String>

    public init(_ verdict: Verdict, at: WallTime, pending: Set<String> = []) {
        self.verdict = verdict
        self.at = at
        self.pending = pending
    }
}

/// A Job was ended because no pod of it had started within the deadline.
public struct StalledStart: Sendable, Hashable {
    public var reason: String
    public var message: String
    public var at: WallTime
    public var attempt: Attempt

    public init(reason: String, message: String, at: WallTime, attempt: Attempt) {
        self.reason = reason
        self.message = message
        self.at = at
        self.attempt = attempt
    }
}
