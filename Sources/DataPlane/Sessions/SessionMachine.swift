package import Models

/// Decides what one session may do, and what follows each packet. A value that ``ModelSessions`` carries out.
///
///     connected ── open ──▶ opening ── opened ──▶ opened          (demands, subscriptions)
///         │                    │                    │
///         └── refused ─────────┴──── refused ───────┴──▶ dismissed (reads why, then end of file)
///     any ── ended ──▶ gone                                        (the client is gone)
///
/// Invariants
/// - A session opens one model at most, and each model that was opened for it is released once.
/// - A dismissed session is not served: packets that were on their way are dropped.
/// - Control requests are answered one at a time, since two responses at once would be read as one.
/// - ``Action/leave`` comes once, last, when the client is gone and no work goes on for it.
package struct SessionMachine<Hold: Sendable>: Sendable {
    /// `open` and `respond` are work that may outlive the client: ``workEnded()`` follows.
    package enum Action: Sendable {
        /// ``opened(_:)`` or ``openingFailed(_:)`` follows.
        case open(settings: [String: String])
        case answer(Hold)
        case release(Hold)
        /// ``demandRefused()`` follows where too many wait.
        case demand(Hold, file: UInt32, offset: UInt64, length: UInt64)
        case subscribe(Hold)
        /// ``responded()`` and ``responseEnded(isRead:)`` follow, or ``proofMissing()``.
        case respond(Question, to: Asker)
        /// The client reads this, then end of file.
        case refuse(AgentFailure.Code, String)
        case dismiss
        case leave
    }

    package enum Question: Equatable, Sendable {
        case agent(ControlRequest)
        /// The status of the cache with this uid alone.
        case cache(String)
        /// No order of a cache's socket is carried out.
        case order
    }
    package enum Asker: Equatable, Sendable {
        case trusted
        /// Shown nothing where callers of the cache with this uid must prove who they are.
        case unproven(cache: String)
    }

    private enum Phase {
        /// Next: opening, dismissed.
        case connected
        /// Next: opened, dismissed.
        case opening
        /// Next: dismissed.
        case opened(Hold)
        /// Nil: none was opened. It is given back when the client is gone.
        case dismissed(Hold?)
        case gone
    }

    private let scope: SessionScope
    /// Root, or the agent's own user.
    private let isOperator: Bool
    private var phase = Phase.connected
    private var isResponding = false
    private var work = 0

    package init(scope: SessionScope, peer: PeerCredentials, agent: UInt32) {
        self.scope = scope
        isOperator = peer.userID == 0 || peer.userID == agent
    }

    /// Nothing of the session goes on: it can be forgotten.
    package var isOver: Bool { if case .gone = phase { work == 0 } else { false } }

    /// The session has a model, or waits for one.
    package var hasModel: Bool {
        switch phase {
        case .opening, .opened: true
        case .connected, .dismissed, .gone: false
        }
    }

    // MARK: Packets

    package mutating func received(_ packet: Packet) -> [Action] {
        if case .dismissed = phase { return [] }
        if case .gone = phase { preconditionFailure("a packet of a session that has ended") }
        switch packet {
        case .open(let settings): return open(settings)
        case .demand(let file, let offset, let length):
            guard case .opened(let hold) = phase else { return refuse("a demand before the model is open") }
            return [.demand(hold, file: file, offset: offset, length: length)]
        case .subscribe:
            guard case .opened(let hold) = phase else { return refuse("a subscription before the model is open") }
            return [.subscribe(hold)]
        case .control(let json): return control(json)
        case .opened, .error, .notice: return refuse("a message that only the agent sends")
        }
    }

    private mutating func open(_ settings: [String: String]) -> [Action] {
        guard case .connected = phase else { return refuse("a second open on one connection") }
        phase = .opening
        work += 1
        return [.open(settings: settings)]
    }

    /// The agent's own socket shows and takes orders for every model, so it is for root and the agent's own user. A
    /// cache's socket shows that cache and takes no orders; where callers must prove who they are, it shows nothing
    /// before they did.
    private mutating func control(_ json: [UInt8]) -> [Action] {
        guard scope != .agent || isOperator else { return refuse("control is only for root and the agent's own user") }
        let request: ControlRequest
        do throws(ControlRequest.Malformed) {
            request = try ControlRequest(decoding: json)
        } catch {
            return refuse("a control request that \(error.problem)")
        }
        guard !isResponding else {
            return refuse("a second control request before the response to the first; wait for it")
        }
        isResponding = true
        work += 1
        guard case .cache(let uid) = scope else { return [.respond(.agent(request), to: .trusted)] }
        let question = request == .status ? Question.cache(uid) : .order
        if case .opened = phase { return [.respond(question, to: .trusted)] }
        return [.respond(question, to: .unproven(cache: uid))]
    }

    // MARK: Work

    package mutating func opened(_ hold: Hold) -> [Action] {
        switch phase {
        case .opening:
            phase = .opened(hold)
            return [.answer(hold)]
        case .dismissed, .gone: return [.release(hold)]
        case .connected, .opened: preconditionFailure("a model was opened that the session had not asked for")
        }
    }

    package mutating func openingFailed(_ failure: AgentFailure) -> [Action] {
        switch phase {
        case .opening: return dismiss(.refuse(failure.code, failure.message))
        case .dismissed, .gone: return []
        case .connected, .opened: preconditionFailure("an opening failed that the session had not asked for")
        }
    }

    package mutating func demandRefused() -> [Action] {
        dismiss(
            .refuse(
                .capacity,
                "\(OpenModel.maximumDemands) demands of this model wait already, which is the most; read with fewer threads"
            ))
    }

    /// The client may ask again as soon as it has the last packet, which is sent next.
    package mutating func responded() -> [Action] {
        precondition(isResponding, "a response without a request")
        isResponding = false
        return []
    }

    /// - Parameter isRead: false: the client does not read, and a response with a hole would be read as another one.
    package mutating func responseEnded(isRead: Bool) -> [Action] { isRead ? [] : dismiss(.dismiss) }

    package mutating func proofMissing() -> [Action] {
        responded() + dismiss(.refuse(.denied, Self.unproven))
    }

    /// Once for each `open` and `respond`.
    package mutating func workEnded() -> [Action] {
        precondition(work > 0, "work ended that had not begun")
        work -= 1
        return isOver ? [.leave] : []
    }

    /// The client is gone.
    package mutating func ended() -> [Action] {
        var actions: [Action] = []
        switch phase {
        case .opened(let hold), .dismissed(let hold?): actions = [.release(hold)]
        case .connected, .opening, .dismissed(nil): break
        case .gone: preconditionFailure("a session ended twice")
        }
        phase = .gone
        return isOver ? actions + [.leave] : actions
    }

    // MARK: Refusals

    private mutating func refuse(_ what: String) -> [Action] { dismiss(.refuse(.protocol, "the agent received \(what)")) }

    private mutating func dismiss(_ farewell: Action) -> [Action] {
        switch phase {
        case .dismissed, .gone: return []
        case .connected, .opening: phase = .dismissed(nil)
        case .opened(let hold): phase = .dismissed(hold)
        }
        return [farewell]
    }

    private static var unproven: String {
        "this ModelCache's socket answers those alone who opened it with their ServiceAccount token; use `modelcache warm`, or `modelcache status` with the agent's own socket on the node"
    }
}

extension SessionMachine.Action: Equatable where Hold: Equatable {}
