/// Which peers' requests a node serves now and which wait. The serving side's part of the plan.
///
/// Few at once, so that each block leaves at full speed and can be passed on soon: with ten at once every
/// one of them would take ten block times before anybody could pass it on. Requests of waiting readers go
/// first; the others in the order of their arrival.
public struct UploadQueue<Request: Hashable & Sendable>: Sendable {
    /// Requests served at once.
    public let slots: Int
    private var serving: [Request] = []
    /// Relays that wait for bytes of their own: they hold no slot.
    private var paused: [Request] = []
    private var urgent: [Request] = []
    private var ordinary: [Request] = []
    private var urgentHead = 0
    private var ordinaryHead = 0
    private var gone: Set<Request> = []

    /// - Parameter slots: 4 does for links up to 10 Gbit/s; as many as keep the link full with one stream each.
    public init(slots: Int = 4) { self.slots = max(1, slots) }

    /// Being served and waiting: what ``SwarmEvent/uploads(_:)`` wants.
    public var load: Int { serving.count + paused.count + urgent.count - urgentHead + ordinary.count - ordinaryHead - gone.count }

    /// Requests being served, those paused too.
    public var current: [Request] { serving + paused }
    /// Requests that wait, the next one first.
    public var waiting: [Request] {
        (urgent[urgentHead...] + ordinary[ordinaryHead...]).filter { !gone.contains($0) }
    }

    /// A request came. Returns the requests to begin serving now.
    public mutating func arrived(_ request: Request, urgent isUrgent: Bool) -> [Request] {
        if isUrgent { urgent.append(request) } else { ordinary.append(request) }
        return begin()
    }

    /// A request was served, or its peer went away (waiting or not). Returns the requests to begin serving now.
    public mutating func ended(_ request: Request) -> [Request] {
        if let place = serving.firstIndex(of: request) {
            serving.remove(at: place)
        } else if let place = paused.firstIndex(of: request) {
            paused.remove(at: place)
        } else {
            gone.insert(request)
        }
        return begin()
    }

    /// A request being served waits for bytes that are still on their way to this node. It gives its slot to
    /// others meanwhile. Returns the requests to begin serving now.
    public mutating func pause(_ request: Request) -> [Request] {
        guard let place = serving.firstIndex(of: request) else { return [] }
        serving.remove(at: place)
        paused.append(request)
        return begin()
    }

    /// Its bytes came: it goes on at once, even if that makes one more than there are slots.
    public mutating func resume(_ request: Request) {
        guard let place = paused.firstIndex(of: request) else { return }
        paused.remove(at: place)
        serving.append(request)
    }

    private mutating func begin() -> [Request] {
        var begun: [Request] = []
        while serving.count < slots, let request = pop() {
            if gone.remove(request) != nil { continue }
            serving.append(request)
            begun.append(request)
        }
        return begun
    }

    private mutating func pop() -> Request? {
        if urgentHead < urgent.count {
            let request = urgent[urgentHead]
            urgentHead += 1
            if urgentHead == urgent.count { urgent.removeAll(keepingCapacity: true); urgentHead = 0 }
            return request
        }
        if ordinaryHead < ordinary.count {
            let request = ordinary[ordinaryHead]
            ordinaryHead += 1
            if ordinaryHead == ordinary.count { ordinary.removeAll(keepingCapacity: true); ordinaryHead = 0 }
            return request
        }
        return nil
    }
}
