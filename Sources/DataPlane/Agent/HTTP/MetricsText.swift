/// The agent's state in Prometheus' text exposition format, version 0.0.4.
package enum MetricsText {
    /// What the samples of a model say of whose it is.
    package enum Naming: Sendable {
        /// Source, namespace and name.
        case everybody
        /// The ModelCache's uid, or the digits of a standalone model's id.
        case nobody
    }

    package static func encode(_ status: AgentStatus, naming: Naming = .everybody) -> String {
        var text = ""
        func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: [(String, String)], value: Double)]) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
            for sample in samples {
                let labels = sample.labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
                text += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(number(sample.value))\n"
            }
        }
        func perModel(_ name: String, _ type: String, _ help: String, _ value: (ModelStatus) -> Double) {
            family(name, type, help, status.models.map { (labels($0, naming), value($0)) })
        }
        family("modelcache_info", "gauge", "The agent's release.", [([("version", status.version), ("medium", status.medium)], 1)])
        family("modelcache_uptime_seconds", "gauge", "Since the agent started.", [([], status.uptimeSeconds)])
        family("modelcache_budget_bytes", "gauge", "Most bytes the agent may cache now.", [([], Double(status.budgetBytes))])
        family("modelcache_cached_bytes", "gauge", "Bytes of objects in the cache.", [([], Double(status.cachedBytes))])
        family("modelcache_in_flight_bytes", "gauge", "Bytes staged between network and cache.", [([], Double(status.inFlightBytes))])
        family("modelcache_in_flight_limit_bytes", "gauge", "The bound on staged bytes.", [([], Double(status.inFlightLimitBytes))])
        family("modelcache_sessions", "gauge", "Clients on the socket.", [([], Double(status.sessions))])
        family(
            "modelcache_callers_refused_total", "counter", "Callers that ModelCaches' sockets turned away, by the check that they failed.",
            (status.refusedCallers ?? [:]).sorted { $0.key < $1.key }.map { ([("check", $0.key)], Double($0.value)) })
        perModel("modelcache_model_bytes", "gauge", "Size of the model.") { Double($0.totalBytes) }
        perModel("modelcache_model_present_bytes", "gauge", "Bytes of the model in the cache.") { Double($0.presentBytes) }
        perModel("modelcache_model_files", "gauge", "Files of the model.") { Double($0.files) }
        perModel("modelcache_model_complete_files", "gauge", "Files that are whole and verified.") { Double($0.completeFiles) }
        perModel("modelcache_model_failed", "gauge", "1 when the model cannot be completed.") { $0.phase == .failed ? 1 : 0 }
        perModel("modelcache_model_users", "gauge", "Clients that hold the model.") { Double($0.users) }
        perModel("modelcache_origin_bytes_total", "counter", "Body bytes received from the store.") { Double($0.originBytes) }
        perModel("modelcache_peer_received_bytes_total", "counter", "Body bytes received from other nodes.") { Double($0.peerBytes) }
        perModel("modelcache_peer_sent_bytes_total", "counter", "Body bytes sent to other nodes.") { Double($0.servedBytes) }
        perModel("modelcache_peer_control_bytes_total", "counter", "Bytes of messages sent to other nodes about who holds what.") { Double($0.controlBytes ?? 0) }
        perModel("modelcache_peer_wrong_blocks_total", "counter", "Blocks that other nodes sent or described wrongly.") { Double($0.wrongPeerBlocks) }
        family(
            "modelcache_peer_faults_total", "counter", "The same, by the node that did.",
            naming == .nobody ? [] : status.models.flatMap { model in
                (model.wrongPeers ?? [:]).sorted { $0.key < $1.key }.map { (labels(model, naming) + [("peer", $0.key)], Double($0.value)) }
            })
        perModel("modelcache_origin_requests_total", "counter", "Ranged GETs sent to the store.") { Double($0.requests) }
        perModel("modelcache_origin_retries_total", "counter", "Ranged GETs repeated.") { Double($0.retries) }
        perModel("modelcache_origin_throttled_total", "counter", "Answers of the store that asked for fewer requests.") { Double($0.throttled) }
        perModel("modelcache_refilled_files_total", "counter", "Files read again because their digest was wrong.") { Double($0.refilledFiles) }
        perModel("modelcache_transfers_in_flight", "gauge", "Ranged GETs under way.") { Double($0.transfersInFlight) }
        return text
    }

    /// A ModelCache's samples say whose they are.
    private static func labels(_ model: ModelStatus, _ naming: Naming) -> [(String, String)] {
        if naming == .nobody {
            // A standalone model's id is `<name>-<16 hex>`.
            return [("model", model.namespace == nil ? String(model.id.suffix(16)) : model.id)]
        }
        var labels = [("model", model.id), ("source", model.source)]
        if let namespace = model.namespace { labels.append(("namespace", namespace)) }
        if let name = model.name { labels.append(("name", name)) }
        return labels
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && value.magnitude < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func escaped(_ label: String) -> String {
        label.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
