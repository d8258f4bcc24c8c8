/// The wait for the end of one ``ListingJob``: a pure value that ``ListingJobRunner`` carries out.
///
/// The watch tells the end. Every ``interval`` the runner looks at the Job's pods besides: for the reason why none
/// starts, and for an end that the watch has missed.
public struct ListingWait: Sendable {
    public typealias Instant = ContinuousClock.Instant

    /// Between two looks, and before the first.
    public static let interval: Duration = .seconds(10)
    /// The Job controller may be late to end the Job at its deadline.
    private static let grace: Duration = .seconds(20)

    private let job: String
    private let deadline: Instant
    private var why = "its pod was not made"
    /// The last look; nil before the first.
    public private(set) var examination: JobExamination?

    /// - Parameter job: the Job's name.
    public init(job: String, now: Instant) {
        self.job = job
        deadline = now + .seconds(ListingJob.deadlineSeconds) + Self.grace
    }

    /// The result of a pod that ended.
    public func result(_ end: ListingEnd) -> Result<String, SourceFailure> {
        switch end.outcome {
        case .message(let message): .success(message)
        case .failed(let why): .failure(failure("failed: \(why)"))
        }
    }

    /// A look found no pod that ended.
    ///
    /// - Returns: why the Job does not start, in words for a condition; nil: it runs.
    public mutating func looked(_ found: JobExamination) -> String? {
        examination = found
        switch found.verdict {
        case .running:
            why = "its pod runs"
            return nil
        case .stuck(let reason, let message):
            why = message.isEmpty ? reason : "\(reason): \(message)"
            return "the Job \(job) that lists it does not start: \(why)"
        }
    }

    /// Nil before the deadline; then the failure, with what the last look found.
    public func expired(now: Instant) -> SourceFailure? {
        now < deadline ? nil : failure("did not end within \(ListingJob.deadlineSeconds) s: \(why)")
    }

    /// Somebody deleted the Job before it ended.
    public var jobIsGone: SourceFailure { failure("was deleted before it ended: \(why)") }

    private func failure(_ what: String) -> SourceFailure {
        SourceFailure(.storeError, Words.line("the Job \(job) that lists the source \(what)", limit: 700))
    }
}
