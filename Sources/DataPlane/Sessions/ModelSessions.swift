internal import AgentWire
internal import ChunkStore
internal import Foundation
internal import Glibc
package import Logging
package import Models
internal import Synchronization

/// Carries out what ``SessionMachine`` decides for each session.
///
/// The socket's thread calls in; what takes time goes on in tasks. A session keeps its place in the census until its
/// tasks have ended: a client that asks and leaves, over and over, has no more of them under way than one that stays.
package final class ModelSessions: SessionHandler {
    private typealias Machine = SessionMachine<ModelHold>
    private struct Refusal: Hashable {
        let scope: SessionScope
        let code: AgentFailure.Code
    }
    private struct State {
        var machines: [Session: Machine] = [:]
        /// Of clients that are gone: what follows the last task.
        var leaving: [Session: @Sendable () -> Void] = [:]
    }

    private let registry: ModelRegistry
    private let refusals: PacedLogger<Refusal>
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
        refusals = PacedLogger(logger)
        statusOf = status
        self.faultDevice = faultDevice
    }

    /// Sessions that hold or are opening a model.
    package var count: Int { state.withLock { $0.machines.values.count(where: \.hasModel) } }

    package func received(_ packet: Packet, from session: Session) { on(session) { $0.received(packet) } }

    package func ended(_ session: Session, left: @escaping @Sendable () -> Void) {
        state.withLock { $0.leaving[session] = left }
        on(session) { $0.ended() }
    }

    private func on(_ session: Session, _ event: (inout Machine) -> [Machine.Action]) {
        let actions = state.withLock { state in
            var machine =
                state.machines[session] ?? Machine(scope: session.scope, peer: session.peer, agent: getuid())
            let actions = event(&machine)
            state.machines[session] = machine.isOver ? nil : machine
            return actions
        }
        for action in actions { carryOut(action, for: session) }
    }

    private func carryOut(_ action: Machine.Action, for session: Session) {
        switch action {
        case .open(let settings): begin(session) { await self.open(settings, for: session) }
        case .answer(let hold): answer(session, with: hold.model)
        case .release(let hold):
            hold.model.unsubscribe(ObjectIdentifier(session))
            registry.release(hold)
        case .demand(let hold, let file, let offset, let length):
            guard !hold.demand(file: file, offset: offset, length: length) else { return }
            on(session) { $0.demandRefused() }
        case .subscribe(let hold):
            hold.model.subscribe(ObjectIdentifier(session)) { [weak session] in session?.send(.notice) }
        case .respond(let question, let asker):
            begin(session) { await self.respond(to: question, of: asker, in: session) }
        case .refuse(let code, let message):
            session.send(.error(code: code.rawValue, message: message))
            session.dismiss()
        case .dismiss: session.dismiss()
        case .leave: state.withLock { $0.leaving.removeValue(forKey: session) }?()
        }
    }

    private func begin(_ session: Session, _ work: @escaping @Sendable () async -> Void) {
        Task {
            await work()
            on(session) { $0.workEnded() }
        }
    }

    // MARK: Opening

    private func open(_ settings: [String: String], for session: Session) async {
        do throws(AgentFailure) {
            let hold =
                switch session.scope {
                case .agent: try await registry.open(try OtherUsers.permitted(settings, user: session.peer.userID))
                case .cache(let uid): try await registry.open(settings, cache: uid, callers: callers)
                }
            on(session) { $0.opened(hold) }
        } catch {
            // A program that is refused may ask again at once.
            refusals.log(Refusal(scope: session.scope, code: error.code), .warning, "open refused") {
                ["pid": "\(session.peer.processID)", "reason": "\(error)"]
            }
            on(session) { $0.openingFailed(error) }
        }
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

    private func respond(to question: Machine.Question, of asker: Machine.Asker, in session: Session) async {
        if case .unproven(let uid) = asker, await registry.isGuarded(cache: uid) {
            return on(session) { $0.proofMissing() }
        }
        let response = await response(to: question)
        let packets = (try? JSONEncoder().encode(response)).map { ControlFraming.packets(Array($0)) } ?? []
        var isRead = !packets.isEmpty
        for packet in packets.dropLast() where isRead { isRead = await send(packet, to: session) }
        on(session) { $0.responded() }
        if isRead, let last = packets.last { isRead = await send(last, to: session) }
        on(session) { $0.responseEnded(isRead: isRead) }
    }

    /// The buffer of a slow reader fills; waits for it, but not for ever.
    private func send(_ packet: Packet, to session: Session) async -> Bool {
        for _ in 0..<100 where !session.isClosed {
            if session.send(packet) { return true }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    private func response(to question: Machine.Question) async -> ControlResponse {
        switch question {
        case .agent(let request): await response(to: request)
        case .cache(let uid): .status(await status(ofCache: uid))
        case .order: .failed("a ModelCache's socket takes no orders; use the agent's own socket on the node")
        }
    }

    private func response(to request: ControlRequest) async -> ControlResponse {
        do throws(AgentFailure) {
            switch request {
            case .status: return .status(await statusOf())
            case .swarm: return .swarm(await registry.swarmReports())
            case .starts: return .starts(await registry.readerStarts())
            case .evict(let model, let force): return .evicted(try await registry.evict(model, force: force))
            case .pin(let model, let pinned):
                try await registry.pin(model, pinned: pinned)
                return .pinned
            }
        } catch {
            return .failed(error.message)
        }
    }

    /// Nothing of other caches, and nothing of other nodes: pods read it.
    private func status(ofCache uid: String) async -> AgentStatus {
        var status = await statusOf()
        status.models = await registry.modelStatus(ofCache: uid).map { [$0] } ?? []
        for index in status.models.indices { status.models[index].peers = nil }
        status.node = nil
        status.heldBytes = nil
        status.refusedCallers = nil
        status.credentials = nil
        status.renewals = nil
        status.cachedBytes = status.models.reduce(0) { $0 + $1.presentBytes }
        return status
    }
}
