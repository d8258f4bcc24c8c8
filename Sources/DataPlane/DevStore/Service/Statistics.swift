internal import Synchronization

/// Counters since the store started or was last cleared.
package struct StatisticsSnapshot: Sendable, Codable, Equatable {
    package struct Count: Sendable, Codable, Equatable {
        package var requests = 0
        package var bytes: Int64 = 0
        package init() {}
    }
    package var requests = 0
    /// Body bytes handed to the kernel.
    package var bytesServed: Int64 = 0
    package var bytesReceived: Int64 = 0
    package var methods: [String: Int] = [:]
    package var statuses: [String: Int] = [:]
    /// By `bucket/key`; listings count under `bucket/`.
    package var keys: [String: Count] = [:]
    /// By the client's address without port.
    package var remotes: [String: Count] = [:]
    /// Connections open now; not cleared.
    package var liveConnections = 0
    package var connections = 0
    package init() {}
}

/// The counters, safe from any thread.
package final class Statistics: Sendable {
    private let state = Mutex(StatisticsSnapshot())
    package init() {}

    package var snapshot: StatisticsSnapshot { state.withLock { $0 } }

    package func clear() {
        state.withLock {
            let live = $0.liveConnections
            $0 = StatisticsSnapshot()
            $0.liveConnections = live
        }
    }

    func connected() {
        state.withLock {
            $0.liveConnections += 1
            $0.connections += 1
        }
    }
    func disconnected() { state.withLock { $0.liveConnections -= 1 } }

    func answered(_ exchange: StoreService.Exchange, status: Int) {
        state.withLock {
            $0.requests += 1
            $0.methods[exchange.request.method, default: 0] += 1
            $0.statuses["\(status)", default: 0] += 1
            $0.keys[Self.name(exchange), default: .init()].requests += 1
            $0.remotes[exchange.request.remote, default: .init()].requests += 1
        }
    }

    func served(_ exchange: StoreService.Exchange, bytes: Int64) {
        state.withLock {
            $0.bytesServed += bytes
            $0.keys[Self.name(exchange), default: .init()].bytes += bytes
            $0.remotes[exchange.request.remote, default: .init()].bytes += bytes
        }
    }

    func received(bytes: Int64) { state.withLock { $0.bytesReceived += bytes } }

    private static func name(_ exchange: StoreService.Exchange) -> String {
        (exchange.address.bucket ?? "") + "/" + (exchange.address.key ?? "")
    }
}
