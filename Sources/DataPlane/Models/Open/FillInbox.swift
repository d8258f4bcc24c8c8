internal import ObjectStore
internal import Synchronization
internal import Transfer

/// Requests to one fill, in the order in which they were made.
///
/// One task at a time hands them on. A demand that waits already is not queued again, so that a reader who asks often
/// costs nothing.
final class FillInbox: Sendable {
    enum Request: Hashable, Sendable {
        /// In blocks of ``blockBytes``.
        case demand(file: UInt32, first: UInt64, last: UInt64)
        case limit(bytesPerSecond: Int64?)
        case newerClient
    }

    /// Different demands that wait: far more than readers of one model can have, each of which waits for one.
    static let maximumDemands = 4096
    /// A page: what a fault tells. The fill may know which expert the page is of.
    static let blockBytes: UInt64 = 4096

    private struct State {
        var requests: [Request] = []
        var queued: Set<Request> = []
        var clients: [StoreClient] = []
        var isHandingOn = false
    }
    private let state = Mutex(State())
    private let fill: any Fill

    init(_ fill: any Fill) { self.fill = fill }

    /// - Returns: false: ``maximumDemands`` wait already.
    func demand(file: UInt32, offset: UInt64, length: UInt64) -> Bool {
        guard length > 0 else { return true }
        let (sum, overflow) = offset.addingReportingOverflow(length - 1)
        let request = Request.demand(
            file: file, first: offset / Self.blockBytes, last: (overflow ? .max : sum) / Self.blockBytes)
        return add(request)
    }

    func limit(bytesPerSecond: Int64?) { _ = add(.limit(bytesPerSecond: bytesPerSecond)) }

    func use(_ client: StoreClient) {
        state.withLock { $0.clients.append(client) }
        _ = add(.newerClient)
    }

    private func add(_ request: Request) -> Bool {
        let (isTaken, begins) = state.withLock { state in
            if state.queued.contains(request) { return (true, false) }
            if case .demand = request, state.requests.count >= Self.maximumDemands { return (false, false) }
            state.requests.append(request)
            state.queued.insert(request)
            defer { state.isHandingOn = true }
            return (true, !state.isHandingOn)
        }
        if begins { Task { await handOn() } }
        return isTaken
    }

    private func handOn() async {
        while let (requests, clients) = taken() {
            for request in requests {
                switch request {
                case .demand(let file, let first, let last):
                    let offset = first * Self.blockBytes
                    let blocks = last - first + 1
                    let length = blocks.multipliedReportingOverflow(by: Self.blockBytes)
                    await fill.demand(
                        file: Int(file), offset: offset, length: length.overflow ? .max - offset : length.partialValue)
                case .limit(let bytesPerSecond): await fill.limit(bytesPerSecond: bytesPerSecond)
                case .newerClient: for client in clients { await fill.use(client) }
                }
            }
        }
    }

    private func taken() -> ([Request], [StoreClient])? {
        state.withLock { state in
            guard !state.requests.isEmpty else {
                state.isHandingOn = false
                return nil
            }
            defer {
                state.requests = []
                state.queued = []
                state.clients = []
            }
            return (state.requests, state.clients)
        }
    }
}
