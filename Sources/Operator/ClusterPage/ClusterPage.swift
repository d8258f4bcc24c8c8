// ClusterPage: ModelCaches, nodes and pods' starts, as the page of `kubectl modelcache ui` shows them.
//
// - `ClusterPage` has a pure function for each view, `StartQuestions` decides whose starts are asked for.
// Invariants: numbers and their texts are those of `kubectl modelcache status`, `nodes` and `starts`.
// Left to others: asking API server and operator (KubectlPlugin), the page (StatusPage).

public import CRD
public import StatusPage

public enum ClusterPage {
    /// - Parameter withNamespace: they are of several namespaces.
    public static func models(_ models: [ModelCache], withNamespace: Bool) -> [PageData.Model] {
        models.map { model in
            let phase = StatusText.phase(model)
            let (progress, traffic) = (model.status?.progress, model.status?.traffic)
            let size = progress.map(\.bytesTotal) ?? 0
            let nodes = StatusText.nodes(model)
            return PageData.Model(
                name: name(model, withNamespace: withNamespace),
                source: Texts.plain(StatusText.source(model.spec.source)), phase: phase.rawValue, tone: tone(phase),
                size: size > 0 ? bytes(size) : nil, present: progress.map { bytes($0.bytesCached) },
                percent: progress?.percent, rate: rate(progress?.bytesPerSecond ?? 0),
                remaining: progress?.remainingSeconds.map { PageData.Amount($0, Texts.duration($0)) },
                nodes: nodes == "-" ? nil : nodes, fromStore: bytes(traffic?.originBytes ?? 0),
                fromNodes: bytes(traffic?.peerBytes ?? 0), copied: bytes(traffic?.copiedBytes ?? 0),
                why: StatusText.complaints(model))
        }
    }

    public static func nodes(_ report: NodesReport) -> [PageData.Node] {
        report.nodes.map { node in
            PageData.Node(
                name: node.name, agent: node.agent, tone: tone(agent: node.agent), message: node.message,
                media: [("Memory", node.memory), ("Disk", node.disk)].compactMap { name, medium in
                    medium.map {
                        PageData.Medium(
                            name: name, budget: bytes($0.budgetBytes), used: bytes($0.usedBytes),
                            free: bytes($0.freeBytes))
                    }
                },
                models: node.models.map { copy in
                    PageData.Copy(
                        model: "\(copy.namespace)/\(copy.name)", state: copy.state, tone: tone(copy: copy.state),
                        percent: NodesText.percent(copy), pinned: copy.isPinned, readers: copy.readers)
                })
        }
    }

    public static func flows(_ report: NodesReport) -> [PageData.Flow] {
        report.nodes.flatMap { node in
            node.models.flatMap { copy in
                (copy.sources ?? []).map { source in
                    PageData.Flow(
                        from: source.node.map { PageData.Place(.node, $0) } ?? PageData.Place(.store),
                        to: PageData.Place(.node, node.name), model: "\(copy.namespace)/\(copy.name)",
                        bytes: bytes(source.bytes), rate: rate(source.bytesPerSecond))
                }
            }
        }
    }

    /// An operator of an earlier release tells no sources: then this says so. Nil: it tells them, or there is no copy.
    public static func flowsProblem(_ report: NodesReport) -> String? {
        let copies = report.nodes.flatMap(\.models)
        return copies.isEmpty || copies.contains { $0.sources != nil }
            ? nil : "the operator is of an earlier release and does not tell what came from where; update it"
    }

    /// - Parameter model: the ModelCache that the pod was given.
    public static func start(_ start: PodStart, of model: ModelCache, withNamespace: Bool) -> PageData.Start {
        let phases = start.phases.flatMap { phase -> [PageData.Phase] in
            let goesOn = start.underWay == phase.step
            guard let reading = start.reading, reading.step == phase.step else {
                let time = PageData.Amount(phase.seconds * 1000, Texts.duration(phase.seconds))
                return [PageData.Phase(name: StartsText.words(phase.step), time: time, goesOn: goesOn)]
            }
            return reading.parts.enumerated().map { index, share in
                PageData.Phase(
                    name: "\(StartsText.words(phase.step)): \(StartsText.words(share.part))",
                    time: PageData.Amount(share.milliseconds, StartsText.seconds(share.milliseconds)),
                    goesOn: goesOn && index == reading.parts.count - 1)
            }
        }
        var notes: [String] = []
        if let reading = start.reading {
            let sources = StartsText.sources(reading)
            if !sources.isEmpty { notes.append(sources.joined(separator: ", ")) }
            let waits = StartsText.waits(reading.waitMilliseconds)
            if waits != "-" { notes.append("waited for \(waits)") }
        }
        return PageData.Start(
            pod: start.pod, model: name(model, withNamespace: withNamespace), node: start.node,
            total: PageData.Amount(start.seconds * 1000, Texts.duration(start.seconds)), goesOn: start.underWay != nil,
            restarts: start.restarts, phases: phases, notes: notes)
    }

    private static func name(_ model: ModelCache, withNamespace: Bool) -> String {
        withNamespace ? "\(model.metadata.namespace ?? "")/\(model.metadata.name)" : model.metadata.name
    }

    private static func bytes(_ count: Int64) -> PageData.Amount { PageData.Amount(count, Texts.bytes(count)) }

    private static func rate(_ bytesPerSecond: Int64) -> PageData.Amount? {
        bytesPerSecond > 0 ? PageData.Amount(bytesPerSecond, Texts.bytes(bytesPerSecond) + "/s") : nil
    }

    private static func tone(_ phase: Phase) -> PageData.Tone {
        switch phase {
        case .ready: .good
        case .resolving, .warming: .busy
        case .degraded, .failed: .bad
        case .pending, .suspended, .terminating: .idle
        }
    }

    private static func tone(agent state: String) -> PageData.Tone {
        switch state {
        case "Reachable": .good
        case "Unreachable", "Missing": .bad
        default: .idle
        }
    }

    private static func tone(copy state: String) -> PageData.Tone {
        switch state {
        case "Ready": .good
        case "Filling": .busy
        case "Failed": .bad
        default: .idle
        }
    }
}
