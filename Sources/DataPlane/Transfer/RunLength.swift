/// How many chunks one ranged GET is to bring.
///
/// Each request costs both ends time that no byte travels in, and the store's owner a fee: the longer the better. But
/// a reader that wants a chunk far inside a run waits for what is before it, a broken connection is noticed later, and
/// at the end the last transfer leaves the others idle. So: what a transfer brings in a quarter of a second, at least
/// 4 MiB and at most 32 MiB, and never more than half of an even share of what is missing.
package struct RunLength: Sendable {
    package init() {}

    let seconds = 0.25
    let minimumBytes = 4.0 * 1024 * 1024
    let maximumBytes = 32.0 * 1024 * 1024

    /// - Parameters:
    ///   - medianBytesPerSecond: of one transfer; nil: not known yet.
    ///   - transfers: how many may be in flight.
    ///   - isLimited: the fill has a rate limit, which a long run would overshoot.
    /// - Returns: at least 1.
    package func chunks(
        chunkBytes: UInt64, medianBytesPerSecond: Double?, missingChunks: Int, transfers: Int, isLimited: Bool
    ) -> Int {
        precondition(missingChunks >= 0 && transfers >= 0, "neither chunks nor transfers are fewer than none")
        if isLimited { return 1 }
        let bytes = min(max(minimumBytes, (medianBytesPerSecond ?? 0) * seconds), maximumBytes)
        return max(1, min(Int(bytes / Double(max(chunkBytes, 1))), missingChunks / (2 * max(transfers, 1))))
    }
}
