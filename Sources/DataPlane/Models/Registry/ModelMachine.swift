package import ChunkStore

/// The name of a model in the registry.
package enum ModelName: Hashable, Sendable {
    /// A model that a client named through the agent's own socket.
    case source(SourceIdentity)
    /// The model in the cache of this uid.
    case cache(String)
}

/// Which objects a model consists of: (key, size, ETag) of each. Two equal listings are one set.
package struct ModelSet: Hashable, Sendable {
    private let digest: [UInt8]

    package init(_ files: [ManifestFile]) {
        digest = Fingerprint.of(
            files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.flatMap {
                [$0.key, String($0.size), $0.etag]
            })
    }
}

/// Decides about one model: closed, opening, open, updating or evicting.
///
/// A value. Each event is a function named after what happened and returns what the registry has to do now. The
/// registry asks the network before it sends an event, so no state waits for a caller's proof.
///
/// ```
/// closed -> opening -> open <-> updating
///                       |          |
///                       +-> evicting -> closed, gone
/// ```
///
/// An opening has three steps. *Describing* asks the store for the digests of the listed objects. *Reserving* gets the
/// capacity, and is the first step that may evict other models. *Making* creates the files. Callers who listed the same
/// set of files wait for one opening; callers who listed another set wait until it is over.
///
/// Guarantees: each caller gets exactly one ``Action/handOut(_:)`` or ``Action/refuse(_:_:)``; nothing is handed out
/// while files are removed; the result of a step that was given up changes nothing.
package struct ModelMachine: Sendable {
    /// Never used twice. An opening goes by the caller who leads it: the one whose listing and credentials it uses.
    package typealias Caller = UInt64

    package struct Listed: Hashable, Sendable {
        package let caller: Caller
        package let set: ModelSet
    }

    package enum Step: Hashable, Sendable { case describing, reserving, making }

    package struct Opening: Hashable, Sendable {
        package var lead: Caller
        package let set: ModelSet
        /// Callers who listed this set, the lead among them.
        package var waiting: [Caller]
        /// Callers who listed another set.
        package var later: [Listed] = []
        package var step = Step.describing
    }

    /// The party that wants the model's bytes gone.
    package enum Requester: Hashable, Sendable {
        /// A command or an order that waits for the outcome.
        case request(UInt64)
        /// The opening that this caller leads needs the capacity.
        case opening(Caller)
        /// The agent itself: idle time or expire time is over.
        case upkeep
    }

    package struct Eviction: Hashable, Sendable {
        package var requesters: [Requester]
        package var later: [Listed] = []
        /// Files are still being made for this lead; they are removed when that ends.
        package var making: Caller?
        /// The cache itself is being deleted.
        package var isFinal: Bool
        package let reason: String
    }

    package enum State: Hashable, Sendable {
        case closed
        case opening(Opening)
        case open(ModelSet)
        /// Open with the first set, while a newer one is on its way.
        case updating(ModelSet, Opening)
        case evicting(Eviction)
        /// The cache is deleted: nothing opens here any more.
        case gone
    }

    package enum Outcome: Equatable, Sendable {
        case evicted
        /// There was nothing to evict.
        case nothing
        case refused(AgentFailure)
    }

    package enum Action: Equatable, Sendable {
        /// Asks the store for the digests with the lead's credentials, then ``ModelMachine/described(_:)``.
        case describe(lead: Caller)
        /// Reserves the capacity, then ``ModelMachine/granted(_:)`` or ``ModelMachine/failed(_:_:)``.
        case reserve(lead: Caller)
        /// Makes or updates the files, then ``ModelMachine/made(_:)`` or ``ModelMachine/failed(_:_:)``.
        case make(lead: Caller)
        /// The opening is over or given up: its reservation and what it described are not needed any more.
        case finish(lead: Caller)
        /// The model is open: each of these callers holds it from now on.
        case handOut([Caller])
        case refuse([Caller], AgentFailure)
        /// Stops the fill and removes the files, then ``ModelMachine/evicted(_:)``.
        case evict(reason: String)
        case tell([Requester], Outcome)
    }

    package private(set) var state = State.closed

    package init() {}

    /// A model that an earlier agent left.
    package init(open set: ModelSet) { state = .open(set) }

    /// Nobody is served, waited for or evicted: the registry may forget the machine.
    package var isClosed: Bool { state == .closed }
    package var isOpen: Bool {
        switch state {
        case .open, .updating: true
        case .closed, .opening, .evicting, .gone: false
        }
    }
    /// On its way out: its bytes are promised to somebody else.
    package var isLeaving: Bool {
        if case .evicting = state { true } else { false }
    }
    /// Whether the opening of this lead waits for its capacity.
    package func isReserving(_ lead: Caller) -> Bool { opening?.lead == lead && opening?.step == .reserving }
    /// Callers that wait here.
    package var waitingCount: Int {
        switch state {
        case .opening(let opening), .updating(_, let opening): opening.waiting.count + opening.later.count
        case .evicting(let eviction): eviction.later.count
        case .closed, .open, .gone: 0
        }
    }

    package static let gone = AgentFailure(
        .internal, "the ModelCache was deleted from this node; wait until it is prepared again")
}

// MARK: Openings

extension ModelMachine {
    /// A caller whom the store showed the source, or who is otherwise authorized for the set that is open, wants the
    /// model.
    package mutating func listed(_ caller: Caller, _ set: ModelSet) -> [Action] {
        let listed = Listed(caller: caller, set: set)
        switch state {
        case .closed:
            state = .opening(Opening(lead: caller, set: set, waiting: [caller]))
            return [.describe(lead: caller)]
        case .opening(var opening):
            opening.add(listed)
            state = .opening(opening)
            return []
        case .open(let current):
            if set == current { return [.handOut([caller])] }
            state = .updating(current, Opening(lead: caller, set: set, waiting: [caller]))
            return [.describe(lead: caller)]
        case .updating(let current, var opening):
            if set == current { return [.handOut([caller])] }
            opening.add(listed)
            state = .updating(current, opening)
            return []
        case .evicting(var eviction):
            if eviction.isFinal { return [.refuse([caller], Self.gone)] }
            eviction.later.append(listed)
            state = .evicting(eviction)
            return []
        case .gone: return [.refuse([caller], Self.gone)]
        }
    }

    /// The store described every object of the lead's listing.
    package mutating func described(_ lead: Caller) -> [Action] {
        advance(lead, from: .describing, to: .reserving, then: .reserve(lead: lead))
    }

    /// The capacity is reserved, and models that had to go for it are gone.
    package mutating func granted(_ lead: Caller) -> [Action] {
        advance(lead, from: .reserving, to: .making, then: .make(lead: lead))
    }

    private mutating func advance(_ lead: Caller, from: Step, to: Step, then action: Action) -> [Action] {
        guard var opening, opening.lead == lead else { return [] }
        precondition(opening.step == from, "a step ended that was not under way")
        opening.step = to
        self.opening = opening
        return [action]
    }

    /// The files are there.
    package mutating func made(_ lead: Caller) -> [Action] {
        if let actions = makingEnded(lead) { return actions }
        guard let opening, opening.lead == lead else { return [] }
        precondition(opening.step == .making, "files were made before they were asked for")
        state = .open(opening.set)
        return [.handOut(opening.waiting), .finish(lead: lead)] + resubmit(opening.later)
    }

    /// A step of the lead's opening failed.
    ///
    /// A description fails for the lead's own credentials, so another caller of the same set leads then. Other failures
    /// are everybody's.
    ///
    /// - Parameter keepsFormer: false: files that an update left unusable are not served any more.
    package mutating func failed(_ lead: Caller, _ failure: AgentFailure, keepsFormer: Bool = true) -> [Action] {
        if let actions = makingEnded(lead) { return actions }
        guard let opening, opening.lead == lead else { return [] }
        if opening.step == .describing, let next = opening.waiting.first(where: { $0 != lead }) {
            var promoted = opening
            promoted.waiting.removeAll { $0 == lead }
            promoted.lead = next
            self.opening = promoted
            return [.refuse([lead], failure), .finish(lead: lead), .describe(lead: next)]
        }
        if keepsFormer { giveUpOpening() } else { state = .closed }
        return [.refuse(opening.waiting, failure), .finish(lead: lead)] + resubmit(opening.later)
    }

    /// Nil: no eviction waited for these files.
    private mutating func makingEnded(_ lead: Caller) -> [Action]? {
        guard case .evicting(var eviction) = state, eviction.making == lead else { return nil }
        eviction.making = nil
        state = .evicting(eviction)
        return [.finish(lead: lead), .evict(reason: eviction.reason)]
    }

    private var opening: Opening? {
        get {
            switch state {
            case .opening(let opening), .updating(_, let opening): opening
            case .closed, .open, .evicting, .gone: nil
            }
        }
        set {
            guard let newValue else { return giveUpOpening() }
            switch state {
            case .opening: state = .opening(newValue)
            case .updating(let current, _): state = .updating(current, newValue)
            case .closed, .open, .evicting, .gone: preconditionFailure("no opening is under way")
            }
        }
    }

    /// A set that was open before the opening stays open.
    private mutating func giveUpOpening() {
        if case .updating(let current, _) = state { state = .open(current) } else { state = .closed }
    }

    private mutating func resubmit(_ later: [Listed]) -> [Action] { later.flatMap { listed($0.caller, $0.set) } }
}

extension ModelMachine.Opening {
    fileprivate mutating func add(_ listed: ModelMachine.Listed) {
        if listed.set == set { waiting.append(listed.caller) } else { later.append(listed) }
    }

    fileprivate var everybody: [ModelMachine.Caller] { waiting + later.map(\.caller) }
}

// MARK: Eviction

extension ModelMachine {
    /// Somebody wants the bytes gone.
    ///
    /// - Parameters:
    ///   - force: readers and callers that wait do not stand in the way.
    ///   - isFinal: the cache itself goes too.
    ///   - users: sessions that hold the model now.
    ///   - reason: for readers that wait for bytes.
    package mutating func evictRequested(
        by requester: Requester, force: Bool, isFinal: Bool = false, users: Int, isPinned: Bool, reason: String
    ) -> [Action] {
        if !force, let refusal = refusal(users: users, isPinned: isPinned) {
            return [.tell([requester], .refused(refusal))]
        }
        var eviction = Eviction(requesters: [requester], isFinal: isFinal, reason: reason)
        let stopped = AgentFailure(.unreachable, reason)
        switch state {
        case .closed:
            if isFinal { state = .gone }
            return [.tell([requester], .nothing)]
        case .gone: return [.tell([requester], .nothing)]
        case .open:
            state = .evicting(eviction)
            return [.evict(reason: reason)]
        case .opening(let opening), .updating(_, let opening):
            let refused = Action.refuse(opening.everybody, stopped)
            if opening.step == .making {
                eviction.making = opening.lead
                state = .evicting(eviction)
                return [refused]
            }
            if case .opening = state {
                state = isFinal ? .gone : .closed
                return [refused, .finish(lead: opening.lead), .tell([requester], .evicted)]
            }
            state = .evicting(eviction)
            return [refused, .finish(lead: opening.lead), .evict(reason: reason)]
        case .evicting(var current):
            // It asks once a second and waits for no outcome.
            if requester != .upkeep { current.requesters.append(requester) }
            var actions: [Action] = []
            if isFinal, !current.isFinal {
                current.isFinal = true
                actions = [.refuse(current.later.map(\.caller), Self.gone)]
                current.later = []
            }
            state = .evicting(current)
            return actions
        }
    }

    private func refusal(users: Int, isPinned: Bool) -> AgentFailure? {
        let isOpening = waitingCount
        switch state {
        case .closed, .gone, .evicting: return nil
        case .opening, .open, .updating:
            let what =
                isPinned
                ? "pinned"
                : users > 0 ? "used by \(users) clients" : isOpening > 0 ? "being opened by \(isOpening) clients" : nil
            return what.map { AgentFailure(.capacity, "the model is \($0); end them first, or use --force") }
        }
    }

    /// The files are gone, or could not be removed. Either way the model is not served any more.
    package mutating func evicted(_ failure: AgentFailure?) -> [Action] {
        guard case .evicting(let eviction) = state, eviction.making == nil else {
            preconditionFailure("an eviction ended that was not under way")
        }
        state = eviction.isFinal ? .gone : .closed
        let outcome = failure.map { Outcome.refused($0) } ?? .evicted
        return [.tell(eviction.requesters, outcome)] + resubmit(eviction.later)
    }
}
