internal import AgentWire
internal import ChunkStore
internal import Foundation
internal import Glibc
package import Logging
package import Models
internal import Synchronization

/// Keeps the state of each session: a session may open one model, then demand from it.
///
/// The socket's thread calls in; what takes time goes on in tasks. A session's packets that come while its open is
/// under way are refused, since a client waits for the answer.
package final class ModelSessions: SessionHandler {
    private enum Phase {
        case opening
        case opened(ModelHold)
    }
    private struct Refusal: Hashable {
        let scope: SessionScope
        let code: AgentFailure.Code
    }
    private struct State {
        var phases: [Session: Phase] = [:]
        /// Control requests under way.
        var responding: Set<Session> = []
        /// Tasks under way.
        var tasks: [Session: Int] = [:]
        /// Of clients that are gone: what follows the last task.
        var leaving: [Session: @Sendable () -> Void] = [:]
        var refusalPace = LogPace<Refusal>()
    }

    private let registry: ModelRegistry
    private let logger: Logger
    private let state = Mutex(State())
    private let faultDevice: FaultDevice
    private let statusOf: @Sendable () async -> AgentStatus
    private let callers: any CallerGate

    package init(
        registry: ModelRegistry, callers: any CallerGate, faultDevice: FaultDevice, logger: Logger,
        status: @escaping @Sendable () async -> AgentStatus
    ) {
        self.registry = registry
        self.callers = callers
        self.logger = logger
        statusOf = status
        self.faultDevice = faultDevice
    }

    package func received(_ packet: Packet, from session: Session) {
        switch packet {
        case .open(let settings): open(settings, for: session)
        case .demand(let file, let offset, let length):
            guard let held = hold(of: session) else {
                return refuse(session, "a demand before the model is open")
            }
            guard held.demand(file: file, offset: offset, length: length) else {
                return refuse(
                    session, .capacity,
                    "\(OpenModel.maximumDemands) demands of this model wait already, which is the most; read with fewer threads"
                )
            }
        case .subscribe:
            guard let held = hold(of: session) else {
                return refuse(session, "a subscription before the model is open")
            }
            held.model.subscribe(ObjectIdentifier(session)) { [weak session] in session?.send(.notice) }
        case .control(let json): control(json, for: session)
        case .opened, .error, .notice: refuse(session, "a message that only the agent sends")
        }
    }

    package func ended(_ session: Session, left: @escaping @Sendable () -> Void) {
        let (phase, isOver) = state.withLock { state in
            let isOver = state.tasks[session] == nil
            if !isOver { state.leaving[session] = left }
            return (state.phases.removeValue(forKey: session), isOver)
        }
        if case .opened(let held) = phase {
            held.model.unsubscribe(ObjectIdentifier(session))
            registry.release(held)
        }
        if isOver { left() }
    }

    /// Work that may outlive the client, whose place in the census is taken as long: a client that asks and leaves,
    /// over and over, has no more of it under way than one that stays.
    private func begin(_ session: Session, _ work: @escaping @Sendable () async -> Void) {
        state.withLock { $0.tasks[session, default: 0] += 1 }
        Task {
            await work()
            let left: (@Sendable () -> Void)? = state.withLock { state in
                let rest = state.tasks[session, default: 1] - 1
                state.tasks[session] = rest == 0 ? nil : rest
                return rest == 0 ? state.leaving.removeValue(forKey: session) : nil
            }
            left?()
        }
    }

    /// Sessions that hold or are opening a model.
    package var count: Int { state.withLock { $0.phases.count } }

    private func hold(of session: Session) -> ModelHold? {
        state.withLock { state in
            if case .opened(let held) = state.phases[session] { held } else { nil }
        }
    }

    private func open(_ settings: [String: String], for session: Session) {
        let isFirst = state.withLock { state in
            guard state.phases[session] == nil else { return false }
            state.phases[session] = .opening
            return true
        }
        guard isFirst else { return refuse(session, "a second open on one connection") }
        begin(session) { [self] in
            do throws(AgentFailure) {
                let held =
                    switch session.scope {
                    case .agent: try await registry.open(try OtherUsers.permitted(settings, user: session.peer.userID))
                    case .cache(let uid): try await registry.open(settings, cache: uid, callers: callers)
                    }
                // The client may have gone meanwhile; `ended` then found nothing to release.
                let stillThere = state.withLock { state in
                    guard state.phases[session] != nil else { return false }
                    state.phases[session] = .opened(held)
                    return true
                }
                guard stillThere else { return registry.release(held) }
                answer(session, with: held.model)
            } catch {
                logRefusal(of: session, error)
                session.send(.error(code: error.code.rawValue, message: error.message))
                session.dismiss()
            }
        }
    }

    /// A few of those of one socket and kind (``LogPace``): a program that is refused may ask again at once.
    private func logRefusal(of session: Session, _ error: AgentFailure) {
        let refusal = Refusal(scope: session.scope, code: error.code)
        guard let leftOut = state.withLock({ $0.refusalPace.admits(refusal) }) else { return }
        var metadata: Logger.Metadata = ["pid": "\(session.peer.processID)", "reason": "\(error)"]
        if leftOut > 0 { metadata["leftOut"] = "\(leftOut)" }
        logger.warning("open refused", metadata: metadata)
    }

    private func answer(_ session: Session, with model: OpenModel) {
        let cached = model.cached
        let set = cached.current
        var flags: UInt32 = 0
        switch cached.medium {
        case .hugeTmpfs: flags |= UInt32(MC_OPENED_HUGE_PAGES.rawValue)
        case .tmpfs: break
        case .disk: flags |= UInt32(MC_OPENED_DISK.rawValue)
        }
        let opened = Packet.Opened(
            flags: flags, fileCount: UInt32(clamping: set.files.count), totalBytes: set.manifest.totalBytes,
            generation: set.manifest.generation.bytes, set: set.number, directory: cached.directory)
        session.send(.opened(opened), descriptor: cached.medium == .disk ? nil : faultDevice.number)
    }

    // MARK: Control

    /// The agent's own socket shows and takes orders for every model, so it is for root and the agent's own user. A
    /// cache's socket shows that cache and takes no orders; where callers must prove who they are, it shows nothing
    /// before they did.
    private func control(_ json: [UInt8], for session: Session) {
        guard session.scope != .agent || session.peer.userID == 0 || session.peer.userID == getuid() else {
            return refuse(session, "control is only for root and the agent's own user")
        }
        let request: ControlRequest
        do throws(ControlRequest.Malformed) {
            request = try ControlRequest(decoding: json)
        } catch {
            return refuse(session, "a control request that \(error.problem)")
        }
        // Two responses at once would be read as one.
        guard state.withLock({ $0.responding.insert(session).inserted }) else {
            return refuse(session, "a second control request before the response to the first; wait for it")
        }
        let isAuthorized = hold(of: session) != nil
        begin(session) { [self] in
            if !isAuthorized, case .cache(let uid) = session.scope, await registry.isGuarded(cache: uid) {
                responded(session)
                session.send(.error(code: AgentFailure.Code.denied.rawValue, message: Self.unproven))
                return session.dismiss()
            }
            let response = await respond(to: request, in: session.scope)
            let packets = (try? JSONEncoder().encode(response)).map { ControlFraming.packets(Array($0)) } ?? []
            var isWhole = !packets.isEmpty
            for packet in packets.dropLast() where isWhole { isWhole = await send(packet, to: session) }
            // The client may ask again as soon as it has the last packet.
            responded(session)
            if isWhole, let last = packets.last { isWhole = await send(last, to: session) }
            // A response with a hole would be read as another one: a client that does not read is let go.
            if !isWhole { session.dismiss() }
        }
    }

    private func responded(_ session: Session) { state.withLock { _ = $0.responding.remove(session) } }

    /// The buffer of a slow reader fills; waits for it, but not for ever.
    private func send(_ packet: Packet, to session: Session) async -> Bool {
        for _ in 0..<100 where !session.isClosed {
            if session.send(packet) { return true }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    private static let unproven =
        "this ModelCache's socket answers those alone who opened it with their ServiceAccount token; use `modelcache warm`, or `modelcache status` with the agent's own socket on the node"

    private func respond(to request: ControlRequest, in scope: SessionScope) async -> ControlResponse {
        do throws(AgentFailure) {
            if case .cache(let uid) = scope {
                guard case .status = request else {
                    return .failed("a ModelCache's socket takes no orders; use the agent's own socket on the node")
                }
                var status = await statusOf()
                status.models = await registry.modelStatus(ofCache: uid).map { [$0] } ?? []
                status.heldBytes = nil
                status.refusedCallers = nil
                status.credentials = nil
                status.renewals = nil
                status.cachedBytes = status.models.reduce(0) { $0 + $1.presentBytes }
                return .status(status)
            }
            switch request {
            case .status: return .status(await statusOf())
            case .swarm: return .swarm(await registry.swarmReports())
            case .evict(let model, let force): return .evicted(try await registry.evict(model, force: force))
            case .pin(let model, let pinned):
                try await registry.pin(model, pinned: pinned)
                return .pinned
            }
        } catch {
            return .failed(error.message)
        }
    }

    private func refuse(_ session: Session, _ what: String) { refuse(session, .protocol, "the agent received \(what)") }

    private func refuse(_ session: Session, _ code: AgentFailure.Code, _ message: String) {
        session.send(.error(code: code.rawValue, message: message))
        session.dismiss()
    }
}
