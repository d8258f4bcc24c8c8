/// The circumstances a Job was made under. When it has failed and these have changed, another try may do better; they
/// are kept on the Job itself so that they outlive the operator.
public struct Attempt: Sendable, Hashable {
    /// `metadata.generation` of the ModelCache.
    public var generation: Int64
    /// ``SecretView/version`` of its Secret; empty without one, or not known.
    public var secretVersion: String
    /// ``AgentReport/instanceID`` of the node's agent.
    public var agentInstance: String
    /// How many Jobs for this node ended without success in a row, under the same circumstances.
    public var retries: Int

    public init(generation: Int64 = 0, secretVersion: String = "", agentInstance: String = "", retries: Int = 0) {
        self.generation = generation
        self.secretVersion = secretVersion
        self.agentInstance = agentInstance
        self.retries = retries
    }

    /// `generation/secretVersion/agentInstance/retries`.
    public var text: String { "\(generation)/\(secretVersion)/\(agentInstance)/\(retries)" }

    /// Anything but ``text`` (a person may edit it) gives circumstances that equal no others, so a failed Job is tried
    /// again.
    public init(text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, let generation = Int64(parts[0]), let retries = Int(parts[3]),
            (0...1_000_000).contains(retries)
        else {
            self.init()
            return
        }
        self.init(
            generation: generation, secretVersion: String(parts[1]), agentInstance: String(parts[2]), retries: retries)
    }

    /// Whether a Job that failed under these circumstances deserves another try under `now`, whatever the clock says.
    /// An unknown (empty) value does not count as a change.
    public func isOutdated(by now: Attempt) -> Bool {
        generation != now.generation
            || (!now.secretVersion.isEmpty && secretVersion != now.secretVersion)
            || (!now.agentInstance.isEmpty && agentInstance != now.agentInstance)
    }

    /// The wait before a failed Job is made again under the same circumstances: 10 minutes, doubling to an hour. The
    /// Job's own `backoffLimit` has already tried for minutes.
    public var failureBackoff: Duration { .seconds(min(3600, 600 << min(retries, 3))) }

    /// The wait before a copy that was lost is warmed again: none at first, then 10 s doubling to 10 minutes, so that a
    /// node which loses its copy each time is not kept busy.
    public var lossBackoff: Duration { retries == 0 ? .zero : .seconds(min(600, 10 << min(retries - 1, 6))) }
}
