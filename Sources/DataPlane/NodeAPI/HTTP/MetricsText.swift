internal import Foundation
package import Models
internal import TextCoding

/// The agent's state in Prometheus' text exposition format, version 0.0.4.
package enum MetricsText {
    /// The labels that identify the model of a sample.
    package enum Naming: Sendable {
        /// Source, namespace and name.
        case everybody
        /// The ModelCache's uid, or the digits of a standalone model's id.
        case nobody
    }

    package static func encode(_ status: AgentStatus, naming: Naming = .everybody) -> String {
        ofAgent(status) + credentials(status, naming)
            + modelFamilies.map { one in
                family(one.name, one.type, one.help, status.models.map { (labels($0, naming), one.value($0)) })
            }.joined()
            + peerFaults(status, naming)
    }

    private static func ofAgent(_ status: AgentStatus) -> String {
        // Whole seconds: the same at each scrape.
        let startTime = (Date().timeIntervalSince1970 - status.uptimeSeconds).rounded()
        func gauge(_ name: String, _ help: String, _ value: Double?) -> String {
            family(name, "gauge", help, value.map { [([], $0)] } ?? [])
        }
        return family(
            "modelcache_build_info", "gauge", "Always 1: the agent's release and medium.",
            [([("version", status.version), ("medium", status.medium)], 1)])
            + gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", startTime)
            + gauge("modelcache_budget_bytes", "Most bytes the agent may cache now.", Double(status.budgetBytes))
            + gauge("modelcache_cached_bytes", "Bytes of objects in the cache.", Double(status.cachedBytes))
            + gauge(
                "modelcache_held_bytes",
                "Bytes that no eviction frees. The budget less these is free for another model.",
                status.heldBytes.map(Double.init))
            + gauge(
                "modelcache_in_flight_bytes", "Bytes staged between network and cache.", Double(status.inFlightBytes))
            + gauge(
                "modelcache_in_flight_limit_bytes", "The bound on staged bytes.", Double(status.inFlightLimitBytes))
            + gauge("modelcache_sessions", "Clients on the socket.", Double(status.sessions))
            + family(
                "modelcache_callers_refused_total", "counter",
                "Callers that ModelCaches' sockets turned away, by the check that they failed.",
                (status.refusedCallers ?? [:]).sorted { $0.key < $1.key }
                    .map { ([("check", $0.key)], Double($0.value)) })
    }

    /// A family with one sample for each model.
    private struct ModelFamily: Sendable {
        let name: String
        let type: String
        let help: String
        let value: @Sendable (ModelStatus) -> Double

        static func gauge(_ name: String, _ help: String, _ value: @escaping @Sendable (ModelStatus) -> Double) -> Self
        {
            ModelFamily(name: name, type: "gauge", help: help, value: value)
        }

        static func counter(_ name: String, _ help: String, _ value: @escaping @Sendable (ModelStatus) -> Double)
            -> Self
        {
            ModelFamily(name: name, type: "counter", help: help, value: value)
        }
    }

    private static let modelFamilies: [ModelFamily] = [
        .gauge("modelcache_model_bytes", "Size of the model.") { Double($0.totalBytes) },
        .gauge("modelcache_model_present_bytes", "Bytes of the model in the cache.") { Double($0.presentBytes) },
        .gauge("modelcache_model_files", "Files of the model.") { Double($0.files) },
        .gauge("modelcache_model_complete_files", "Files that are whole and verified.") { Double($0.completeFiles) },
        .gauge("modelcache_model_failed", "1 when the model cannot be completed.") { $0.phase == .failed ? 1 : 0 },
        .gauge("modelcache_model_users", "Clients that hold the model.") { Double($0.users) },
        .counter("modelcache_origin_bytes_total", "Body bytes received from the store.") { Double($0.originBytes) },
        .counter("modelcache_peer_received_bytes_total", "Body bytes received from other nodes.") {
            Double($0.peerBytes)
        },
        .counter("modelcache_copied_bytes_total", "Bytes copied from other caches of this node.") {
            Double($0.copiedBytes ?? 0)
        },
        .counter("modelcache_peer_sent_bytes_total", "Body bytes sent to other nodes.") { Double($0.servedBytes) },
        .counter(
            "modelcache_peer_control_bytes_total", "Bytes of messages sent to other nodes about who holds what."
        ) { Double($0.controlBytes ?? 0) },
        .counter("modelcache_peer_wrong_blocks_total", "Blocks that other nodes sent or described wrongly.") {
            Double($0.wrongPeerBlocks)
        },
        .counter("modelcache_origin_requests_total", "Ranged GETs sent to the store.") { Double($0.requests) },
        .counter("modelcache_origin_retries_total", "Ranged GETs repeated.") { Double($0.retries) },
        .counter("modelcache_origin_throttled_total", "Answers of the store that asked for fewer requests.") {
            Double($0.throttled)
        },
        .counter("modelcache_refilled_files_total", "Files read again because their digest was wrong.") {
            Double($0.refilledFiles)
        },
        .gauge("modelcache_transfers_in_flight", "Ranged GETs under way.") { Double($0.transfersInFlight) },
    ]

    /// Nodes' names are shown to those alone who may read models' names.
    private static func peerFaults(_ status: AgentStatus, _ naming: Naming) -> String {
        let models = naming == .nobody ? [] : status.models
        let samples = models.flatMap { model in
            (model.wrongPeers ?? [:]).sorted { $0.key < $1.key }.map { fault -> Sample in
                (labels(model, naming) + [("peer", fault.key)], Double(fault.value))
            }
        }
        return family(
            "modelcache_peer_faults_total", "counter", "Wrong blocks as above, by the node that sent or described them.",
            samples)
    }

    private typealias Sample = (labels: [(String, String)], value: Double)

    private static func family(_ name: String, _ type: String, _ help: String, _ samples: [Sample]) -> String {
        var text = PrometheusText.head(name, type: type, help: help)
        for sample in samples {
            text += PrometheusText.sample(name, PrometheusText.labels(sample.labels), sample.value)
        }
        return text
    }

    /// Roles' names are shown to those alone who may read models' names.
    private static func credentials(_ status: AgentStatus, _ naming: Naming) -> String {
        let expiries = (status.credentials ?? []).compactMap { role -> Sample? in
            guard let expiry = role.expiry else { return nil }
            let name = naming == .nobody ? [] : [("principal", role.principal)]
            return ([("provider", role.provider)] + name, Double(expiry))
        }
        // Without names, two roles of one provider would be one sample twice: the first that ends counts.
        var earliest: [String: Sample] = [:]
        for sample in expiries {
            let key = sample.labels.map(\.1).joined(separator: "\n")
            if let known = earliest[key], known.value <= sample.value { continue }
            earliest[key] = sample
        }
        let renewals = (status.renewals ?? [:]).sorted { $0.key < $1.key }
        // An agent that never read as a role has none of these.
        if earliest.isEmpty && renewals.isEmpty { return "" }
        return family(
            "modelcache_role_credentials_expiry_timestamp_seconds", "gauge",
            "When the temporary credentials of the moment end, since 1970.",
            earliest.sorted { $0.key < $1.key }.map(\.value))
            + family(
                "modelcache_role_credentials_renewals_total", "counter", "Temporary credentials that a provider gave.",
                renewals.map { ([("provider", $0.key)], Double($0.value.fetched)) })
            + family(
                "modelcache_role_credentials_refusals_total", "counter",
                "Fetches of credentials that failed: the provider said no, or did not answer.",
                renewals.flatMap { name, count -> [Sample] in
                    [
                        ([("provider", name), ("reason", "refused")], Double(count.refused)),
                        ([("provider", name), ("reason", "unavailable")], Double(count.unavailable)),
                    ]
                })
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
}
