/// A node of the swarm, by a small number that the caller gives out.
///
/// Numbers are local: two nodes may number the same third node differently. All nodes must agree on ``SwarmMember/key``
/// instead.
public struct SwarmPeer: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: Int32

    public init(_ number: Int) { self.number = Int32(truncatingIfNeeded: number) }

    public var index: Int { Int(number) }
    public var description: String { "peer \(number)" }
    public static func < (left: SwarmPeer, right: SwarmPeer) -> Bool { left.number < right.number }
}

/// One transfer that the planner asked for. Never used twice by one planner.
public struct SwarmFetch: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }

    public var description: String { "fetch \(number)" }
}

/// A point on a monotonic clock whose zero the caller chooses, in nanoseconds. The planner has no clock.
public typealias SwarmInstant = UInt64

/// A span in nanoseconds.
public typealias SwarmNanoseconds = UInt64

extension SwarmNanoseconds {
    public static func milliseconds(_ count: UInt64) -> SwarmNanoseconds { count * 1_000_000 }
    public static func seconds(_ count: UInt64) -> SwarmNanoseconds { count * 1_000_000_000 }
}
