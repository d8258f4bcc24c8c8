internal import AgentWire
internal import ChunkStore
internal import Foundation
internal import Glibc
package import Logging
internal import Synchronization

/// What each session may do and has done: open one model, then demand from it.
///
/// The socket's thread calls in; what takes time goes on in tasks. A session's packets that come while its open is under
/// way are refused, since a client waits for the answer.
package final class Sessions: SessionHandler {
    private enum Phase {
        case fresh
        case opening
        case opened(OpenModel)
    }
    private struct State {
        var phases: [Session: Phase] = [:]
    }

    private let registry: ModelRegistry
    private let logger: Logger
    private let state = Mutex(State())
    /// `/dev/userfaultfd` where the agent may open it: clients in containers may not, and get a copy of this descriptor.
    private let faultDevice: Int32
    private let statusOf: @Sendable () async -> AgentStatus
    private let callers: CallerIdentity

    package init(
        registry: ModelRegistry, callers: CallerIdentity = CallerIdentity(), logger: Logger,
        status: @escaping @Sendable () async -> AgentStatus
    ) {
        self.registry = registry
        self.callers = callers
        self.logger = logger
        statusOf = status
        faultDevice = Glibc.open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)
    }

    deinit {
        if faultDevice >= 0 { close(faultDevice) }
    }

    package func received(_ packet: Packet, from session: Session) {
        switch packet {
        case .open(let settings): open(settings, for: session)
        case .demand(let file, let offset, let length):
            guard let model = openModel(of: session) else { return refuse(session, "a demand before the model is open") }
            model.demand(file: file, offset: offset, length: length)
        case .subscribe:
            guard let model = openModel(of: session) else { return refuse(session, "a subscription before the model is open") }
            model.subscribe(session)
        case .control(let json): control(json, for: session)
        case .opened, .error, .notice: refuse(session, "a message that only the agent sends")
        }
    }

    package func ended(_ session: Session) {
        let phase = state.withLock { $0.phases.removeValue(forKey: session) }
        guard case .opened(let model) = phase else { return }
        model.unsubscribe(session)
        registry.release(model)
    }

    /// Sessions that hold or are opening a model.
    package var count: Int { state.withLock { $0.phases.count } }

    private func openModel(of session: Session) -> OpenModel? {
        state.withLock { state in
            if case .opened(let model) = state.phases[session] { model } else { nil }
        }
    }

    private func open(_ settings: [String: String], for session: Session) {
        let isFirst = state.withLock { state in
            guard state.phases[session] == nil else { return false }
            state.phases[session] = .opening
            return true
        }
        guard isFirst else { return refuse(session, "a second open on one connection") }
        Task {
            do throws(AgentFailure) {
                let model =
                    switch session.scope {
                    case .agent: try await registry.open(settings)
                    case .cache(let uid): try await registry.open(settings, cache: uid, identity: callers)
                    }
                // The client may have gone meanwhile; `ended` then found nothing to release.
                let stillThere = state.withLock { state in
                    guard state.phases[session] != nil else { return false }
                    state.phases[session] = .opened(model)
                    return true
                }
                guard stillThere else { return registry.release(model) }
                answer(session, with: model)
            } catch {
                logger.warning("open refused", metadata: ["pid": "\(session.peer.processID)", "reason": "\(error)"])
                session.send(.error(code: error.code.rawValue, message: error.message))
                session.dismiss()
            }
        }
    }

    private func answer(_ session: Session, with model: OpenModel) {
        let cached = model.cached
        var flags: UInt32 = 0
        switch cached.medium {
        case .hugeTmpfs: flags |= UInt32(MC_OPENED_HUGE_PAGES.rawValue)
        case .tmpfs: break
        case .disk: flags |= UInt32(MC_OPENED_DISK.rawValue)
        }
        let opened = Packet.Opened(
            flags: flags, fileCount: UInt32(clamping: cached.files.count), totalBytes: cached.manifest.totalBytes,
            generation: cached.manifest.generation.bytes, directory: cached.directory)
        session.send(.opened(opened), descriptor: faultDevice >= 0 && cached.medium != .disk ? faultDevice : nil)
    }

    // MARK: Control

    /// The agent's own socket shows and takes orders for every model, so it is for root and the agent's own user. A cache's
    /// socket shows that cache and takes no orders; where callers must prove who they are, it shows nothing before they did.
    private func control(_ json: [UInt8], for session: Session) {
        guard session.scope != .agent || session.peer.userID == 0 || session.peer.userID == getuid() else {
            return refuse(session, "control is only for root and the agent's own user")
        }
        guard let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(json)) else {
            return refuse(session, "a control request that is no JSON of this release")
        }
        let isProven = openModel(of: session) != nil
        Task {
            if !isProven, case .cache(let uid) = session.scope, await registry.isGuarded(cache: uid) {
                session.send(.error(code: AgentFailure.Code.denied.rawValue, message: Self.unproven))
                return session.dismiss()
            }
            let response = await respond(to: request, in: session.scope)
            guard let json = try? JSONEncoder().encode(response) else { return session.dismiss() }
            for packet in ControlFraming.packets(Array(json)) {
                // The buffer of a slow reader fills; wait for it, but not for ever.
                var attempts = 0
                while !session.send(packet), attempts < 100 {
                    attempts += 1
                    try? await Task.sleep(for: .milliseconds(20))
                }
            }
        }
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
                status.refusedCallers = nil
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

    private func refuse(_ session: Session, _ what: String) {
        session.send(.error(code: AgentFailure.Code.protocol.rawValue, message: "the agent received \(what)"))
        session.dismiss()
    }
}
