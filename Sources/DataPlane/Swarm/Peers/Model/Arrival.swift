internal import Synchronization

/// A block that is arriving: how far its bytes are in the file, so that they can be relayed.
public final class Arrival: Sendable {
    private let arrived = Atomic<UInt64>(0)
    private let failed = Atomic<Bool>(false)

    public init() {}

    /// Bytes of the block that are in the file.
    public var bytes: UInt64 { arrived.load(ordering: .acquiring) }
    /// The transfer ended without its block: what was relayed of it is void.
    public var hasFailed: Bool { failed.load(ordering: .acquiring) }

    public func advance(by count: Int) { arrived.wrappingAdd(UInt64(max(0, count)), ordering: .acquiringAndReleasing) }
    public func fail() { failed.store(true, ordering: .releasing) }
}
