/// Decides which of many equal events are told, in a log or a record: ``most`` of a key in each ``interval``, and with
/// the next one how many were left out.
///
/// A pod that connects in a loop, a program that asks again and again, or a lack that lasts must neither fill a disk
/// nor hide what else is told. A value: the caller has the clock.
package struct EventPace<Key: Hashable & Sendable>: Sendable {
    package static var most: Int { 5 }
    package static var interval: Duration { .seconds(60) }

    private struct Window {
        var began: ContinuousClock.Instant
        var told = 0
        var leftOut = 0
    }
    private let mostKeys: Int
    private var windows: [Key: Window] = [:]
    /// Of all keys that came when there were ``mostKeys`` others.
    private var shared: Window?

    /// - Parameter mostKeys: keys of which it is remembered what was told. More are paced as one.
    package init(mostKeys: Int) {
        precondition(mostKeys > 0, "a pace without keys tells of no event apart from others")
        self.mostKeys = mostKeys
    }

    /// - Returns: nil: not to be told. Else how many equal ones were left out since the last one that was told.
    package mutating func admits(_ key: Key, now: ContinuousClock.Instant = .now) -> Int? {
        guard windows[key] != nil || hasPlace(now) else { return Self.admits(&shared, now) }
        return Self.admits(&windows[key], now)
    }

    private static func admits(_ slot: inout Window?, _ now: ContinuousClock.Instant) -> Int? {
        var window = slot ?? Window(began: now)
        defer { slot = window }
        if window.began.duration(to: now) >= interval {
            window.began = now
            window.told = 0
        }
        guard window.told < most else {
            window.leftOut += 1
            return nil
        }
        window.told += 1
        defer { window.leftOut = 0 }
        return window.leftOut
    }

    private mutating func hasPlace(_ now: ContinuousClock.Instant) -> Bool {
        if windows.count < mostKeys { return true }
        windows = windows.filter { $0.value.began.duration(to: now) < Self.interval }
        return windows.count < mostKeys
    }
}
