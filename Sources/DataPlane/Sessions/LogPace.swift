/// Which of many equal events are logged: some at once, then a few a minute with the number of those left out.
///
/// A pod that connects in a loop, or a lack that lasts, must neither fill a disk nor hide what else is logged. A value:
/// the caller has the clock.
package struct LogPace<Key: Hashable & Sendable>: Sendable {
    /// Of one key in each ``interval``.
    package static var most: Int { 5 }
    package static var interval: Duration { .seconds(60) }
    /// Keys of which it is remembered what was logged. More are paced as one.
    package static var mostKeys: Int { 1024 }

    private struct Window {
        var began: ContinuousClock.Instant
        var logged = 0
        var leftOut = 0
    }
    private var windows: [Key?: Window] = [:]

    package init() {}

    /// - Returns: nil: not to be logged. Else how many equal ones were left out since the last one that was logged.
    package mutating func admits(_ key: Key, now: ContinuousClock.Instant = .now) -> Int? {
        let key = slot(of: key, now)
        var window = windows[key] ?? Window(began: now)
        defer { windows[key] = window }
        if window.began.duration(to: now) >= Self.interval {
            window.began = now
            window.logged = 0
        }
        guard window.logged < Self.most else {
            window.leftOut += 1
            return nil
        }
        window.logged += 1
        defer { window.leftOut = 0 }
        return window.leftOut
    }

    private mutating func slot(of key: Key, _ now: ContinuousClock.Instant) -> Key? {
        if windows[key] != nil || windows.count < Self.mostKeys { return key }
        windows = windows.filter { $0.value.began.duration(to: now) < Self.interval }
        return windows.count < Self.mostKeys ? key : nil
    }
}
