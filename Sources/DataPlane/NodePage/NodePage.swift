// NodePage: what one agent says, as the page of `modelcache ui` shows it.
//
// - `NodePage` is a pure function of the agent's status and of the starts that it remembers.
// Invariants: numbers and their texts are those of `modelcache status`.
// Left to others: asking the agent (Command), the page (StatusPage).

public import AgentAPI
internal import Agent
public import Models
public import StatusPage

public enum NodePage {
    /// Starts that are shown, the newest.
    static let mostStarts = 20

    /// - Parameter starts: by the uid of the ModelCache; nil: the agent does not tell.
    public static func reading(_ status: AgentStatus, starts: [String: [ReaderStart]]?) -> PageReading {
        let node = status.node ?? "this node"
        var reading = PageReading(
            subject: node, models: .seen(status.models.map(model)), nodes: .seen([self.node(status, named: node)]),
            flows: .seen(status.models.flatMap { flows($0, node: node) }),
            starts: .missing("this agent is of an earlier release and does not tell its pods' starts"))
        if let starts { reading.starts = .seen(self.starts(starts, of: status.models, node: node)) }
        return reading
    }

    private static func bytes(_ count: Int64) -> PageData.Amount { PageData.Amount(count, ByteCount.format(count)) }

    private static func rate(_ bytesPerSecond: Double?) -> PageData.Amount? {
        guard let rate = bytesPerSecond.map({ Int64($0) }), rate > 0 else { return nil }
        return PageData.Amount(rate, ByteCount.format(rate) + "/s")
    }

    private static func milliseconds(_ count: Int64) -> PageData.Amount {
        PageData.Amount(count, TimeText.milliseconds(count))
    }

    private static func tone(_ phase: ModelStatus.Phase) -> PageData.Tone {
        switch phase {
        case .filling: .busy
        case .complete: .good
        case .failed: .bad
        case .prepared: .idle
        }
    }

    private static func model(_ model: ModelStatus) -> PageData.Model {
        PageData.Model(
            name: model.title, source: model.source, phase: model.phase.rawValue, tone: tone(model.phase),
            size: bytes(model.totalBytes), present: bytes(model.presentBytes), percent: model.presentPercent,
            rate: rate(model.bytesPerSecond),
            remaining: model.remainingSeconds.map { PageData.Amount(Int64($0.rounded(.up)), TimeText.seconds($0)) },
            readers: model.users, pinned: model.pinned, fromStore: bytes(model.originBytes),
            fromNodes: bytes(model.peerBytes), copied: bytes(model.copiedBytes ?? 0),
            why: [model.message].compactMap { $0 } + (model.warnings ?? []).map { "warning: \($0.line)" })
    }

    private static func node(_ status: AgentStatus, named name: String) -> PageData.Node {
        let cache = PageData.Medium(
            name: "Cache", budget: bytes(status.budgetBytes), used: bytes(status.cachedBytes),
            free: status.heldBytes.map { bytes(max(0, status.budgetBytes - $0)) })
        let up = TimeText.seconds(status.uptimeSeconds)
        let roles = (status.credentials ?? []).map { role in
            "reads as \(role.principal)\(role.problem.map { "; \($0)" } ?? "")"
        }
        return PageData.Node(
            name: name, agent: "up \(up)", tone: .good,
            message: (["\(status.version), root \(status.root)"] + roles).joined(separator: "; "), media: [cache],
            models: status.models.map { model in
                PageData.Copy(
                    model: model.title, state: model.phase == .filling ? "Filling" : model.phase.rawValue,
                    tone: tone(model.phase), percent: model.presentPercent, pinned: model.pinned, readers: model.users)
            })
    }

    private static func flows(_ model: ModelStatus, node: String) -> [PageData.Flow] {
        func flow(_ from: PageData.Place, _ to: PageData.Place, _ count: Int64, _ speed: Double?) -> PageData.Flow {
            PageData.Flow(from: from, to: to, model: model.title, bytes: bytes(count), rate: rate(speed))
        }
        let here = PageData.Place(.node, node)
        var flows: [PageData.Flow] = []
        if model.originBytes > 0 {
            flows.append(flow(PageData.Place(.store), here, model.originBytes, model.originBytesPerSecond))
        }
        for peer in model.peers ?? [] {
            flows.append(
                flow(PageData.Place(.node, peer.address), here, peer.receivedBytes, Double(peer.bytesPerSecond)))
        }
        if model.servedBytes > 0 {
            flows.append(flow(here, PageData.Place(.others, "other nodes"), model.servedBytes, nil))
        }
        return flows
    }

    private static func starts(
        _ starts: [String: [ReaderStart]], of models: [ModelStatus], node: String
    ) -> [PageData.Start] {
        let titles = Dictionary(models.map { ($0.id, $0.title) }, uniquingKeysWith: { first, _ in first })
        let all = starts.flatMap { uid, starts in starts.map { (model: titles[uid] ?? uid, start: $0) } }
        let newest = all.sorted { ($1.start.openedAt, $0.start.podUID) < ($0.start.openedAt, $1.start.podUID) }
            .prefix(mostStarts)
        return newest.map { start($0.start, model: $0.model, node: node) }
    }

    /// From the first opening until every byte is there: what an agent sees of a start.
    private static func start(_ start: ReaderStart, model: String, node: String) -> PageData.Start {
        let goesOn = start.completeMilliseconds == nil && start.endedMilliseconds == nil
        let end = start.completeMilliseconds ?? start.endedMilliseconds ?? start.observedMilliseconds
        var phases: [PageData.Phase] = []
        var last: Int64 = 0
        for (name, moment) in [
            ("opening", start.answeredMilliseconds), ("first byte", start.firstByteMilliseconds), ("reading", end),
        ] {
            // Without a first byte that anybody waited for, its time is in reading.
            guard let moment = moment ?? (name == "opening" ? end : nil) else { continue }
            let next = min(max(last, moment), max(last, end))
            phases.append(PageData.Phase(name: name, time: milliseconds(next - last)))
            last = next
            if name == "opening", start.answeredMilliseconds == nil { break }
        }
        if goesOn, !phases.isEmpty { phases[phases.count - 1].goesOn = true }
        let sources = [
            (start.cacheBytes, "from the cache"), (start.copiedBytes, "copied"), (start.peerBytes, "from other nodes"),
            (start.storeBytes, "from the store"),
        ].filter { $0.0 > 0 }.map { "\(ByteCount.format($0.0)) \($0.1)" }
        let waits = start.waitMilliseconds.filter { $0.value > 0 }
            .sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.key) \(TimeText.milliseconds($0.value))" }
        let notes = [
            sources.joined(separator: ", "), waits.isEmpty ? "" : "waited for \(waits.joined(separator: ", "))",
        ].filter { !$0.isEmpty }
        return PageData.Start(
            pod: start.pod, model: model, node: node, total: milliseconds(last), goesOn: goesOn, phases: phases,
            notes: notes)
    }
}
