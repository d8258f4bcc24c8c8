/// The peers' requests that a node serves now, and those that wait.
///
/// It serves several different blocks at once: each goes to another receiver, whose link others share, so with few
/// neither this link nor theirs would ever be full. It serves few requests for the same block: two receivers that get
/// it quickly pass it on, while twelve that share the link would all wait for twelve block times. Requests of waiting
/// readers go first, the others in the order of their arrival.
public struct UploadQueue<Request: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let request: Request
        let block: Int
    }

    /// Requests served at once.
    public let slots: Int
    /// Of them, for the same block.
    public let slotsPerBlock: Int
    private var serving: [Entry] = []
    /// Relays that wait until their own bytes arrive. They hold no slot.
    private var paused: [Entry] = []
    private var urgent: [Entry] = []
    private var ordinary: [Entry] = []

    public init(slots: Int = 6, slotsPerBlock: Int = 2) {
        self.slots = max(1, slots)
        self.slotsPerBlock = max(1, slotsPerBlock)
    }

    /// Requests served and waiting: the number for ``SwarmEvent/uploads(_:)``.
    public var load: Int { serving.count + paused.count + urgent.count + ordinary.count }

    /// Requests being served, paused ones included.
    public var current: [Request] { (serving + paused).map(\.request) }
    /// Requests that wait, the next one first, except for blocks that already fill `slotsPerBlock`.
    public var waiting: [Request] { (urgent + ordinary).map(\.request) }

    /// A request came. Returns the requests to begin serving now.
    public mutating func arrived(_ request: Request, block: Int, urgent isUrgent: Bool) -> [Request] {
        let entry = Entry(request: request, block: block)
        if isUrgent { urgent.append(entry) } else { ordinary.append(entry) }
        return begin()
    }

    /// A request was served, or its peer went away (waiting or not). Returns the requests to begin serving now.
    public mutating func ended(_ request: Request) -> [Request] {
        _ =
            Self.remove(request, from: &serving) ?? Self.remove(request, from: &paused)
            ?? Self.remove(request, from: &urgent) ?? Self.remove(request, from: &ordinary)
        return begin()
    }

    /// A request being served waits for bytes that are still on their way to this node. It gives up its slot meanwhile.
    /// Returns the requests to begin serving now.
    public mutating func pause(_ request: Request) -> [Request] {
        guard let entry = Self.remove(request, from: &serving) else { return [] }
        paused.append(entry)
        return begin()
    }

    /// The request's bytes arrived: it goes on at once, even as one more than there are slots.
    public mutating func resume(_ request: Request) {
        guard let entry = Self.remove(request, from: &paused) else { return }
        serving.append(entry)
    }

    private static func remove(_ request: Request, from list: inout [Entry]) -> Entry? {
        list.firstIndex { $0.request == request }.map { list.remove(at: $0) }
    }

    private mutating func begin() -> [Request] {
        var begun: [Request] = []
        while serving.count < slots, let entry = next(&urgent) ?? next(&ordinary) {
            serving.append(entry)
            begun.append(entry.request)
        }
        return begun
    }

    private func isCrowded(_ block: Int) -> Bool {
        serving.reduce(0) { $0 + ($1.block == block ? 1 : 0) } >= slotsPerBlock
    }

    private func next(_ list: inout [Entry]) -> Entry? {
        list.firstIndex { !isCrowded($0.block) }.map { list.remove(at: $0) }
    }
}
