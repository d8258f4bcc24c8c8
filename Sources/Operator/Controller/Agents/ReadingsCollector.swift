internal import AgentAPI
internal import CRD

/// Asks the agents that have a cache what its pods read. Questions about one cache that come while one is under way
/// share its answers, so that many callers cost the agents no more than one.
actor ReadingsCollector {
    /// A node with the cache; the reason why its agent need not be asked, or where it is.
    struct Node: Sendable {
        let name: String
        let address: Result<AgentAddress, Silence>
    }

    struct Silence: Error {
        let why: String
    }

    /// Agents asked at a time.
    private static let width = 16
    /// Starts of one node that are told, the newest.
    private static let most = 100

    private let client: AgentClient
    private var running: [String: Task<ReadingsReport, Never>] = [:]

    init(client: AgentClient) { self.client = client }

    func report(ofCache uid: String, from nodes: [Node]) async -> ReadingsReport {
        if let task = running[uid] { return await task.value }
        let task = Task { [client] in await Self.ask(uid, nodes, client) }
        running[uid] = task
        let report = await task.value
        running[uid] = nil
        return report
    }

    /// The reading that one agent has of a pod: of several models that it reads, the one with the most bytes. Nil:
    /// none, or the agent does not say.
    static func reading(
        ofPod podUID: String, caches: [String], on agent: AgentAddress, _ client: AgentClient
    ) async -> PodReading? {
        var readings: [PodReading] = []
        for uid in caches {
            do throws(AgentFailure) {
                let report = try await client.readers(uid, on: agent)
                readings += report.readers.filter { $0.podUID == podUID }.map { PodReading($0, node: agent.node) }
            } catch {
                // It would not answer the rest either.
                if case .unreachable = error { break }
            }
        }
        return readings.max { $0.totalBytes < $1.totalBytes }
    }

    private static func ask(_ uid: String, _ nodes: [Node], _ client: AgentClient) async -> ReadingsReport {
        await withTaskGroup(of: (node: String, Result<ReadersReport, Silence>).self) { group in
            var report = ReadingsReport(readings: [])
            var rest = nodes[...]
            func next() {
                guard let node = rest.popFirst() else { return }
                group.addTask { (node.name, await answer(of: node, uid, client)) }
            }
            for _ in 0..<width { next() }
            for await (node, answer) in group {
                switch answer {
                case .success(let readers):
                    let newest = readers.readers.sorted { $0.openedAt > $1.openedAt }.prefix(most)
                    report.readings += newest.map { PodReading($0, node: node) }
                case .failure(let silence): report.silent[node] = silence.why
                }
                next()
            }
            return report
        }
    }

    private static func answer(
        of node: Node, _ uid: String, _ client: AgentClient
    ) async -> Result<ReadersReport, Silence> {
        switch node.address {
        case .failure(let silence): return .failure(silence)
        case .success(let address):
            do throws(AgentFailure) {
                return .success(try await client.readers(uid, on: address))
            } catch {
                return .failure(Silence(why: error.description))
            }
        }
    }
}

extension PodReading {
    init(_ start: ReaderStart, node: String) {
        self.init(
            node: node, podUID: start.podUID, openedAt: start.openedAt,
            answeredMilliseconds: start.answeredMilliseconds, firstByteMilliseconds: start.firstByteMilliseconds,
            completeMilliseconds: start.completeMilliseconds, endedMilliseconds: start.endedMilliseconds,
            totalBytes: start.totalBytes, cacheBytes: start.cacheBytes, copiedBytes: start.copiedBytes,
            peerBytes: start.peerBytes, storeBytes: start.storeBytes, waitMilliseconds: start.waitMilliseconds)
    }
}
