/// The times at which a source is listed though nothing asks for it.
package enum SourceCheck {
    /// The next of the moments that lie `interval` apart: between a half and one and a half of it after `last`.
    ///
    /// The ModelCache's uid shifts them, so that those that were made together, or are known since the operator's
    /// start, do not all ask at once.
    package static func next(after last: WallTime, every interval: Duration, uid: String) -> WallTime {
        let period = max(1, interval.inMilliseconds)
        let shift = Int64(Digest.number(uid) % UInt64(period))
        let earliest = last.milliseconds + period / 2
        return WallTime(milliseconds: ((earliest - shift) / period + 1) * period + shift)
    }
}
