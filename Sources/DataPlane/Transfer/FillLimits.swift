/// Bounds on one model's fill.
public struct FillLimits: Sendable {
    /// Most ranged GETs in flight.
    public var maximumTransfers: Int
    /// How many to begin with.
    public var initialTransfers: Int
    /// A store that cannot be reached, asks us to wait, or sends no new byte is waited for this long.
    /// Less than the readers' own deadline, so that they hear the cause.
    public var storeDeadline: Duration
    /// Most bytes a second from the store; nil: no limit.
    public var bytesPerSecond: Int64?

    public init(
        maximumTransfers: Int, initialTransfers: Int = 8, storeDeadline: Duration = .seconds(240),
        bytesPerSecond: Int64? = nil
    ) {
        self.bytesPerSecond = bytesPerSecond
        self.maximumTransfers = max(1, maximumTransfers)
        self.initialTransfers = max(1, min(initialTransfers, maximumTransfers))
        self.storeDeadline = storeDeadline
    }
}
