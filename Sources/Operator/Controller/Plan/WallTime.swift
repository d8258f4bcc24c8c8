internal import FoundationEssentials
public import Kubernetes

/// A moment in milliseconds: comparable with the API server's times, which have whole seconds.
public struct WallTime: Sendable, Hashable, Comparable {
    /// Since 1970-01-01T00:00:00Z.
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }
    public init(seconds: Int64) { milliseconds = seconds * 1000 }
    public init(_ timestamp: Timestamp) { milliseconds = timestamp.secondsSinceEpoch * 1000 }

    /// This process's clock: what the machine's said when it was first asked, and since then the time that passed. A
    /// wall clock that is set meanwhile ends no wait early and prolongs none.
    public static var now: WallTime { start.wall + (ContinuousClock.now - start.at) }

    /// The machine's clock, for times that others compare with theirs: signatures, times written to objects.
    public static var clock: WallTime { WallTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

    private static let start = (wall: clock, at: ContinuousClock.now)

    public var timestamp: Timestamp { Timestamp(secondsSinceEpoch: milliseconds / 1000) }

    public static func < (left: WallTime, right: WallTime) -> Bool { left.milliseconds < right.milliseconds }
    public static func + (time: WallTime, duration: Duration) -> WallTime {
        WallTime(milliseconds: time.milliseconds + duration.inMilliseconds)
    }
    public static func - (left: WallTime, right: WallTime) -> Duration {
        .milliseconds(left.milliseconds - right.milliseconds)
    }
}

extension Duration {
    /// Whole milliseconds, cut off.
    var inMilliseconds: Int64 {
        let parts = components
        return parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
    }
}

extension WallTime {
    /// Nil when the text is no time of RFC 3339.
    init?(rfc3339 text: String) {
        guard let time = try? JSONDecoder().decode(Timestamp.self, from: Data("\"\(text)\"".utf8)) else {
            return nil
        }
        self.init(time)
    }
}
