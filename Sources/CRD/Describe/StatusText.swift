/// The text of `kubectl modelcache status`.
public enum StatusText {
    /// One line a ModelCache, with the columns of `kubectl get`.
    public static func table(_ models: [ModelCache], now: Double, withNamespace: Bool) -> [String] {
        let header = (withNamespace ? ["NAMESPACE"] : []) + ["NAME", "PHASE", "SIZE", "READY", "PROGRESS", "AGE"]
        let rows = models.map { model in
            (withNamespace ? [model.metadata.namespace ?? ""] : []) + [
                model.metadata.name, model.status?.phase?.rawValue ?? "Pending", model.status?.source?.size ?? "-",
                nodes(model), model.status?.progress.map { "\($0.percent)%" } ?? "-",
                Texts.age(since: model.metadata.creationTimestamp, now: now).map(Texts.duration) ?? "-",
            ]
        }
        return Texts.table([header] + rows)
    }

    /// A page about one ModelCache, with a bar a node. `width` is the terminal's; nil: plain lines without bars.
    /// `height` bounds the page so that it can be redrawn in place; nil: no bound.
    public static func page(_ model: ModelCache, width: Int?, height: Int? = nil) -> [String] {
        let status = model.status
        var lines = ["\(model.metadata.name): \(headline(model))", "source: \(Texts.plain(source(model.spec.source)))"]
        if let progress = status?.progress, progress.bytesTotal > 0 {
            let bar = width == nil ? "" : Texts.bar(percent: progress.percent, cells: 24) + " "
            lines.append("progress: \(bar)\(figures(progress))")
        }
        if let traffic = status?.traffic, max(traffic.originBytes, traffic.peerBytes, traffic.copiedBytes) > 0 {
            lines.append(
                "traffic: \(Texts.bytes(traffic.originBytes)) from the store, "
                    + "\(Texts.bytes(traffic.peerBytes)) from other nodes, "
                    + "\(Texts.bytes(traffic.copiedBytes)) from other caches")
        }
        lines += complaints(model)
        guard let nodes = status?.nodes, !nodes.details.isEmpty else { return lines.map { fit($0, width) } }
        lines.append("")
        let shown = height.map { max(1, $0 - lines.count - 1) } ?? nodes.details.count
        lines += nodeLines(nodes, seeders: Set(status?.seeders ?? []), count: shown, withBars: width != nil)
        let hidden = nodes.desired - min(shown, nodes.details.count)
        if hidden > 0 { lines.append("and \(hidden) more \(hidden == 1 ? "node" : "nodes")") }
        return lines.map { fit($0, width) }
    }

    /// One line for logs and pipes: `gemma Warming 2/3 42%  node-2 Warming 42%`.
    public static func line(_ model: ModelCache) -> String {
        let busy = model.status?.nodes?.details.filter { $0.state != .ready } ?? []
        let parts = busy.prefix(8).map { "\($0.name) \($0.state.rawValue) \($0.percent)%" }
        let rest = busy.count > parts.count ? ["\(busy.count - parts.count) more"] : []
        return
            ([
                "\(model.metadata.name) \(model.status?.phase?.rawValue ?? "Pending") \(nodes(model)) \(model.status?.progress?.percent ?? 0)%"
            ] + parts + rest).joined(separator: "  ")
    }

    /// Terminating from the moment at which it is deleted, though the operator has not said so yet.
    public static func phase(_ model: ModelCache) -> Phase {
        model.metadata.deletionTimestamp == nil ? model.status?.phase ?? .pending : .terminating
    }

    private static func headline(_ model: ModelCache) -> String {
        let status = model.status
        var parts = [phase(model).rawValue]
        if let source = status?.source, source.files > 0 {
            parts.append("\(Texts.bytes(source.totalBytes)) in \(source.files) \(source.files == 1 ? "file" : "files")")
        }
        if let nodes = status?.nodes {
            parts.append("\(nodes.ready) of \(nodes.desired) \(nodes.desired == 1 ? "node" : "nodes") ready")
            if nodes.warming > 0 { parts.append("\(nodes.warming) warming") }
            if nodes.failed > 0 { parts.append("\(nodes.failed) failed") }
        }
        return parts.joined(separator: ", ")
    }

    /// `2/3`: nodes that are ready of those that should be; `-` while that is not known.
    public static func nodes(_ model: ModelCache) -> String {
        model.status?.nodes.map { $0.summary ?? "\($0.ready)/\($0.desired)" } ?? "-"
    }

    /// Its URI, with the endpoint or region that the spec names.
    public static func source(_ source: Source) -> String {
        source.uri + (source.endpoint.map { " at \($0)" } ?? source.region.map { " in \($0)" } ?? "")
    }

    private static func figures(_ progress: ProgressStatus) -> String {
        "\(progress.percent)%  \(Texts.bytes(progress.bytesCached)) of \(Texts.bytes(progress.bytesTotal))"
            + (progress.bytesPerSecond > 0 ? "  \(Texts.bytes(progress.bytesPerSecond))/s" : "")
            + (progress.remainingSeconds.map { "  \(Texts.duration($0)) left" } ?? "")
    }

    /// Conditions whose status is not the desired one, with their reasons.
    public static func complaints(_ model: ModelCache) -> [String] {
        model.status?.conditions.compactMap(complaint) ?? []
    }

    /// A condition's text, when its status is not the desired one.
    private static func complaint(_ condition: Condition) -> String? {
        let isBad: Bool =
            switch ConditionType(rawValue: condition.type) {
            case .ready, .sourceResolved: condition.status != .true
            case .degraded, .capacityExceeded, .sourceChanged: condition.status == .true
            case .progressing, nil: false
            }
        return isBad
            ? Texts.plain("\(condition.type)=\(condition.status.rawValue) (\(condition.reason)): \(condition.message)")
            : nil
    }

    private static func nodeLines(_ nodes: NodesStatus, seeders: Set<String>, count: Int, withBars: Bool) -> [String] {
        Texts.table(
            nodes.details.prefix(count).map { detail in
                [detail.name, detail.state.rawValue]
                    + (withBars ? [Texts.bar(percent: detail.percent, cells: 24)] : [])
                    + [
                        String(repeating: " ", count: max(0, 3 - "\(detail.percent)".count)) + "\(detail.percent)%",
                        [seeders.contains(detail.name) ? "seeder" : "", Texts.plain(detail.message ?? "")]
                            .filter { !$0.isEmpty }.joined(separator: "; "),
                    ]
            }
        ).map { line in String(line.reversed().drop { $0 == " " }.reversed()) }
    }

    private static func fit(_ line: String, _ width: Int?) -> String {
        width.map { Texts.cut(line, $0) } ?? line
    }
}
