/// Whether a transfer is so much slower than its neighbours that its rest should be asked for on another connection.
///
/// One bad path among many (a stalled connection, an overloaded store node) would otherwise hold back the last chunk
/// long after all the others. The transfer is cancelled and its *remaining* bytes are asked for again, so nothing is
/// read twice and there is never more than one writer of a chunk.
public struct SlowTransferPolicy: Sendable {
    /// Slower than the median of all transfers by this factor.
    public var factor = 8.0
    /// Nothing is judged before this age; it doubles with every restart, so that a link that is slow for everybody
    /// is not asked again and again.
    public var grace: Duration = .seconds(2)

    public init() {}

    /// - Parameters:
    ///   - bytesPerSecond: of this transfer since its last (re)start.
    ///   - medianBytesPerSecond: of the model's transfers that finished lately; nil when there are too few to tell.
    ///   - age: since its last (re)start.
    ///   - restarts: how often it was restarted for slowness.
    public func shouldRestart(
        bytesPerSecond: Double, medianBytesPerSecond: Double?, age: Duration, restarts: Int
    ) -> Bool {
        precondition(restarts >= 0, "a number of restarts is not negative")
        guard let median = medianBytesPerSecond, restarts < 5 else { return false }
        guard age >= grace * (1 << restarts) else { return false }
        return bytesPerSecond * factor < median
    }
}
