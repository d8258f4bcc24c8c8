package import AgentAPI
package import Foundation
package import Models

/// The operator's requests, decoded and carried out; knows nothing of HTTP but methods and paths.
package struct CacheOrders: Sendable {
    /// The response to send: a status and a JSON body, or none.
    package struct Answer: Sendable {
        package var status: Int
        package var body: Data?
    }

    private let registry: ModelRegistry
    private let node: String
    private let instanceID = UUID().uuidString.lowercased()
    private let bootID: String
    private let rules: DefinitionRules

    package init(registry: ModelRegistry, node: String) {
        self.registry = registry
        self.node = node
        rules = registry.rules
        bootID = ((try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? "")
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// - Parameter target: path and query, such as `/v1/caches/<uid>?force=true`.
    package func answer(method: String, target: String, body: Data) async -> Answer {
        do throws(AgentError) {
            return try await carryOut(method: method, target: target, body: body)
        } catch {
            return Self.answer(error)
        }
    }

    package static func answer(_ error: AgentError) -> Answer {
        Answer(status: (error.known ?? .volumeFailed).httpStatus, body: try? encoder.encode(error))
    }

    private func carryOut(method: String, target: String, body: Data) async throws(AgentError) -> Answer {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(parts.first ?? "")
        let query = parts.count > 1 ? parts[1] : ""
        if path == CachePath.collection {
            guard method == "GET" else { throw Self.wrongMethod("GET") }
            return Answer(status: 200, body: try? Self.encoder.encode(await report()))
        }
        let prefix = CachePath.collection + "/"
        guard path.hasPrefix(prefix) else {
            throw AgentError(.notFound, "there is no such path", remedy: "ask for \(CachePath.collection)")
        }
        let rest = path.dropFirst(prefix.count)
        let isForReaders = rest.hasSuffix(CachePath.readersSuffix)
        let uid = String(isForReaders ? rest.dropLast(CachePath.readersSuffix.count) : rest)
        guard CachePath.isUID(uid) else {
            throw AgentError(
                .invalidDefinition, "the path's uid is none",
                remedy: "use the ModelCache's metadata.uid, 36 characters of 0-9, a-f and -")
        }
        if isForReaders {
            guard method == "GET" else { throw Self.wrongMethod("GET") }
            let report = ReadersReport(readers: registry.readers.starts(ofCache: uid))
            return Answer(status: 200, body: try? Self.encoder.encode(report))
        }
        switch method {
        case "PUT":
            let report = try await registry.prepare(uid, try rules.decode(body))
            return Answer(status: 200, body: try? Self.encoder.encode(report))
        case "DELETE":
            let force = query.split(separator: "&").contains("force=true")
            try await registry.delete(uid, force: force)
            return Answer(status: 204, body: nil)
        default:
            throw Self.wrongMethod("PUT or DELETE")
        }
    }

    private func report() async -> AgentReport {
        var report = AgentReport(
            node: node, version: Release.version, bootID: bootID, instanceID: instanceID,
            time: Int64(Date.now.timeIntervalSince1970),
            memory: await registry.mediumReport(.memory) ?? AgentReport.MediumReport(budgetBytes: 0, usedBytes: 0),
            disk: await registry.mediumReport(.disk), caches: await registry.cacheReports)
        report.remains = await registry.cacheRemains()
        return report
    }

    private static func wrongMethod(_ known: String) -> AgentError {
        AgentError(.methodNotAllowed, "the path does not know this method", remedy: "use \(known)")
    }

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}
