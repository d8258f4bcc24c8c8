internal import Foundation
internal import NIOCore
internal import NIOHTTP1
public import SwarmPlan
internal import Synchronization

/// One model's swarm as this node sees it: who else has the model open, and the control connections to them.
///
/// The peers' messages are handed on as ``inputs``, in order; the planner's requests to the control
/// connections are carried out by ``connect(_:)``, ``disconnect(_:)`` and ``send(_:to:)``. Members are the nodes that
/// have the model open: known addresses are asked, and a node that asks us with a right token is one.
///
/// Any thread may call anything.
public final class ModelSwarm: Sendable {
    public enum Input: Sendable {
        /// This node included. The first one is the start.
        case members([SwarmMember])
        case connected(SwarmPeer)
        /// Follows ``connected(_:)``: an older agent, which does not know messages that hand turns over.
        case takesNoTurns(SwarmPeer)
        case disconnected(SwarmPeer)
        /// It lives, but took no control connection.
        case declined(SwarmPeer)
        /// `digests`: of every held block, ascending (`ControlFrame`).
        case map(SwarmPeer, SwarmMap, digests: [UInt64])
        /// `digests`: the same of the delta's held blocks, in their order.
        case delta(SwarmPeer, SwarmDelta, digests: [UInt64])
        case wanted(block: Int, by: SwarmPeer)
        /// Peers' requests served and waiting on this node.
        case uploads(Int)
        /// A request of a peer began to be served, paused, or ended.
        case upload(SwarmUpload, to: SwarmPeer, block: Int)
    }

    public let shared: SharedModel
    /// To be read by one task. Ends with ``leave()``.
    public let inputs: AsyncStream<Input>
    public let me = SwarmPeer(0)

    private struct Member {
        let peer: SwarmPeer
        let address: PeerAddress
        var isPresent = false
        var link: ControlLink?
        var isDialing = false
        /// Which of the secrets the peer took last.
        var key = 0
        /// Whether DNS, the list or the file names it.
        var isListed = false
        /// As it said last.
        var zone = ""
        var takesTurns = false
    }
    private struct State {
        var members: [PeerAddress: Member] = [:]
        var addresses: [PeerAddress] = []
        /// By the address that requests come from; of several nodes at one address, the first that is still a member.
        var peersByHost: [String: SwarmPeer] = [:]
        var own: PeerAddress?
        var candidates: Set<PeerAddress> = []
        var hasStarted = false
        var hasLeft = false
    }
    private let state: Mutex<State>
    private let input: AsyncStream<Input>.Continuation
    private let dialer: PeerDialer
    private let keys: @Sendable () -> [SwarmKey]
    private let introduction: PeerIntroduction
    /// Of our own peer server: with the address that a peer sees us come from, the way back to us.
    private let port: Int

    /// How often an address where the model was not open is asked again.
    private static let probeInterval: Duration = .seconds(1)
    private static let probesAtOnce = 64

    init(
        shared: SharedModel, dialer: PeerDialer, introduction: PeerIntroduction, own: PeerAddress?, port: Int,
        keys: @escaping @Sendable () -> [SwarmKey]
    ) {
        self.shared = shared
        self.dialer = dialer
        self.introduction = introduction
        self.keys = keys
        self.port = port
        let me = own ?? PeerAddress(host: introduction.node, port: 1)
        state = Mutex(State(addresses: [me], own: own))
        (inputs, input) = AsyncStream.makeStream()
    }

    // MARK: Peers

    public func address(of peer: SwarmPeer) -> PeerAddress? {
        state.withLock { $0.addresses.indices.contains(peer.index) ? $0.addresses[peer.index] : nil }
    }

    /// Members that have the model open, and whether a control connection stands.
    public var peers: [(peer: SwarmPeer, address: PeerAddress, zone: String, isConnected: Bool)] {
        state.withLock { $0.members.values.filter(\.isPresent).map { ($0.peer, $0.address, $0.zone, $0.link != nil) } }
    }

    /// The URL and headers that a ranged GET of a file's bytes at a peer needs; nil: there is no secret, or no such
    /// peer.
    public func request(to peer: SwarmPeer, file: Int) -> (url: String, headers: [String])? {
        guard let address = address(of: peer), let (id, authorization) = proof(for: address) else { return nil }
        let scheme = dialer.tls == nil ? "http" : "https"
        return ("\(scheme)://\(address)/swarm/v1/models/\(id)/files/\(file)", ["Authorization: \(authorization)"])
    }

    /// A peer refused our name of the model: the next secret, if there is another. False: all were tried.
    public func tryNextKey(for peer: SwarmPeer) -> Bool {
        let count = keys().count
        guard count > 1, let address = address(of: peer) else { return false }
        return state.withLock { state in
            guard var member = state.members[address] else { return false }
            member.key = (member.key + 1) % count
            state.members[address] = member
            return member.key != 0
        }
    }

    private func proof(for address: PeerAddress, key chosen: Int? = nil) -> (id: String, authorization: String)? {
        let keys = keys()
        guard !keys.isEmpty else { return nil }
        let index = chosen ?? state.withLock { $0.members[address]?.key ?? 0 }
        let key = keys[index % keys.count]
        let id = key.modelID(shared.identity)
        return (id, key.authorization(modelID: id, now: Int64(Date.now.timeIntervalSince1970)))
    }

    // MARK: The planner's requests

    /// Opens a control connection; `.connected`, `.declined` or `.disconnected` follows.
    public func connect(_ peer: SwarmPeer) {
        guard let address = address(of: peer), let (id, authorization) = proof(for: address) else {
            input.yield(.disconnected(peer))
            return
        }
        let goes = state.withLock { state in
            guard !state.hasLeft, var member = state.members[address], member.link == nil, !member.isDialing else {
                return false
            }
            member.isDialing = true
            state.members[address] = member
            return true
        }
        guard goes else { return }
        let request = PeerDialer.Request(
            address: address, method: .POST, target: "/swarm/v1/models/\(id)/control", authorization: authorization,
            own: state.withLock { $0.own } ?? PeerAddress(host: "", port: port), introduction: introduction)
        dialer.control(request) { [weak self] channel, other in
            guard let self else { return nil }
            let link = self.link(channel, to: address, isOutgoing: true)
            guard other?.node != self.introduction.node, self.keep(link, other) else { return nil }
            self.tellConnected(address)
            return link
        } ended: { [weak self] link, refusal in
            guard let self else { return }
            let stands = self.state.withLock { state in
                state.members[address]?.isDialing = false
                return state.members[address]?.link != nil
            }
            // A connection from the other side may have taken the place of ours.
            if let link {
                self.linkEnded(link)
            } else if !stands {
                // The peer may know the model by another secret's name.
                if refusal == .notFound, self.tryNextKey(for: peer) { return self.connect(peer) }
                self.input.yield(refusal == nil ? .disconnected(peer) : .declined(peer))
            }
        }
    }

    /// Closes the control connection; no input follows.
    public func disconnect(_ peer: SwarmPeer) {
        guard let address = address(of: peer) else { return }
        let link = state.withLock { state in
            let link = state.members[address]?.link
            state.members[address]?.link = nil
            return link
        }
        link?.closeInGoodOrder()
    }

    public func send(_ map: SwarmMap, to peer: SwarmPeer) {
        var digests: [UInt64] = []
        var known = map
        map.blocks.forEach { block in
            if let digest = shared.digest(of: block) {
                digests.append(ControlFrame.digest(of: digest))
            } else {
                known.blocks.remove(block)
            }
        }
        send(.map(known, digests: digests), to: [peer])
    }

    public func send(_ delta: SwarmDelta, to peers: [SwarmPeer]) {
        var known = delta
        known.held = delta.held.filter { shared.digest(of: $0) != nil }
        send(.delta(known, digests: known.held.map { ControlFrame.digest(of: shared.digest(of: $0) ?? 0) }), to: peers)
    }

    private func send(_ frame: ControlFrame, to peers: [SwarmPeer]) {
        let links = state.withLock { state in
            peers.compactMap { peer in
                state.addresses.indices.contains(peer.index) ? state.members[state.addresses[peer.index]]?.link : nil
            }
        }
        guard !links.isEmpty else { return }
        let bytes = frame.encoded(ByteBufferAllocator())
        for link in links { link.send(bytes) }
    }

    /// The model is closed here: peers lose it at once.
    public func leave() {
        let links = state.withLock { state in
            state.hasLeft = true
            let links = state.members.values.compactMap(\.link)
            state.members = [:]
            return links
        }
        for link in links { link.close() }
        input.finish()
    }

    // MARK: Control connections

    private func link(_ channel: any Channel, to address: PeerAddress, isOutgoing: Bool) -> ControlLink {
        ControlLink(channel: channel, peer: address, isOutgoing: isOutgoing, model: shared) { [weak self] link, frame in
            guard let self,
                let peer = self.state.withLock({ state -> SwarmPeer? in
                    guard let member = state.members[link.peer], member.link === link else { return nil }
                    return member.peer
                })
            else { return }
            switch frame {
            case .map(let map, let digests): self.input.yield(.map(peer, map, digests: digests))
            case .delta(let delta, let digests): self.input.yield(.delta(peer, delta, digests: digests))
            }
        }
    }

    /// Two nodes that dial each other at once have two connections: both keep the one that the smaller node id opened.
    private func keep(_ link: ControlLink, _ other: PeerIntroduction?) -> Bool {
        let (isKept, former, hasMoved) = state.withLock { state -> (Bool, ControlLink?, Bool) in
            guard !state.hasLeft, var member = state.members[link.peer] else { return (false, nil, false) }
            if let former = member.link, former.channel.isActive {
                let mine = other.map { introduction.node < $0.node } ?? true
                guard link.isOutgoing == mine, former.isOutgoing != mine else { return (false, nil, false) }
            }
            let former = member.link
            member.link = link
            member.isPresent = true
            let hasMoved = other.map { $0.zone != member.zone } ?? false
            member.zone = other?.zone ?? member.zone
            member.takesTurns = other?.takesTurns ?? false
            state.members[link.peer] = member
            return (true, former, hasMoved && state.hasStarted)
        }
        former?.close()
        if hasMoved { tellMembers() }
        return isKept
    }

    /// A peer opens a control connection; nil: there is one already.
    func accept(_ channel: any Channel, from address: PeerAddress, _ other: PeerIntroduction?) -> ControlLink? {
        guard other?.node != introduction.node else { return nil }
        heard(from: address, other)
        let link = link(channel, to: address, isOutgoing: false)
        return keep(link, other) ? link : nil
    }

    /// After the answer's head is written.
    func linkOpened(_ link: ControlLink) {
        tellConnected(link.peer)
    }

    private func tellConnected(_ address: PeerAddress) {
        guard let member = state.withLock({ $0.members[address] }) else { return }
        input.yield(.connected(member.peer))
        if !member.takesTurns { input.yield(.takesNoTurns(member.peer)) }
    }

    func linkEnded(_ link: ControlLink) {
        let peer = state.withLock { state -> SwarmPeer? in
            guard var member = state.members[link.peer], member.link === link else { return nil }
            member.link = nil
            state.members[link.peer] = member
            return member.peer
        }
        if let peer { input.yield(link.wasClosedInGoodOrder ? .declined(peer) : .disconnected(peer)) }
    }

    // MARK: Members

    /// A node that proved itself asked for the model: it has it open.
    func heard(from address: PeerAddress?, _ other: PeerIntroduction?) {
        guard let address, let other, other.node != introduction.node else { return }
        let isNew = state.withLock { state in
            guard !state.hasLeft, address != state.own else { return false }
            var member = Self.member(address, &state)
            guard !member.isPresent || member.zone != other.zone else { return false }
            member.isPresent = true
            member.zone = other.zone
            state.members[address] = member
            return state.hasStarted
        }
        if isNew { tellMembers() }
    }

    private static func member(_ address: PeerAddress, _ state: inout State) -> Member {
        defer {
            if state.peersByHost[address.host] == nil { state.peersByHost[address.host] = state.members[address]?.peer }
        }
        if let member = state.members[address] { return member }
        let member: Member
        if let number = state.addresses.firstIndex(of: address) {
            member = Member(peer: SwarmPeer(number), address: address)
        } else {
            member = Member(peer: SwarmPeer(state.addresses.count), address: address)
            state.addresses.append(address)
        }
        state.members[address] = member
        return member
    }

    private static func remove(_ member: Member, _ state: inout State) {
        state.members[member.address] = nil
        let host = member.address.host
        guard state.peersByHost[host] == member.peer else { return }
        let others = state.members.values.filter { $0.isPresent && $0.address.host == host }
        state.peersByHost[host] = others.map(\.peer).min()
    }

    private func tellMembers() {
        state.withLock { state in
            let members =
                state.members.values.filter { $0.isPresent }.map {
                    SwarmMember($0.peer, key: SwarmMember.hash(of: $0.address.description), zone: $0.zone)
                } + [
                    SwarmMember(me, key: SwarmMember.hash(of: state.addresses[0].description), zone: introduction.zone)
                ]
            // Under the lock, so that no older list comes after a newer one.
            input.yield(.members(members.sorted { $0.peer < $1.peer }))
        }
    }

    /// Takes the addresses that DNS, the list or the file names now.
    func update(candidates: Set<PeerAddress>, own: PeerAddress?) {
        let hasChanged = state.withLock { state in
            guard !state.hasLeft else { return false }
            state.candidates = candidates
            var hasChanged = false
            if let own, state.own != own {
                state.own = own
                state.addresses[0] = own
                // By it all nodes agree who reads what. Before, this node took itself for another than the others did.
                hasChanged = true
            }
            for (address, member) in state.members {
                if candidates.contains(address) {
                    state.members[address]?.isListed = true
                } else if member.isListed, member.link == nil {
                    // Named before, not any more, and not connected: it left.
                    Self.remove(member, &state)
                    hasChanged = hasChanged || member.isPresent
                }
            }
            return hasChanged && state.hasStarted
        }
        if hasChanged { tellMembers() }
    }

    /// Asks the known addresses who has the model open, at first all at once, then now and then those that had not.
    /// Until cancelled.
    func findMembers() async {
        while !Task.isCancelled, !state.withLock({ $0.hasLeft }) {
            let unknown = state.withLock { state in
                state.candidates.filter { $0 != state.own && state.members[$0]?.isPresent != true }
            }
            let found = await probe(Array(unknown))
            let isStart = state.withLock { state in
                guard !state.hasStarted else { return false }
                state.hasStarted = true
                return true
            }
            if isStart || found { tellMembers() }
            try? await Task.sleep(for: Self.probeInterval)
        }
    }

    /// Whether one more has it.
    private func probe(_ addresses: [PeerAddress]) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            var rest = addresses[...]
            var found = false
            for _ in 0..<Self.probesAtOnce {
                if let address = rest.popFirst() { group.addTask { await self.probe(address) } }
            }
            while let one = await group.next() {
                found = one || found
                if let address = rest.popFirst() { group.addTask { await self.probe(address) } }
            }
            return found
        }
    }

    private func probe(_ address: PeerAddress) async -> Bool {
        for key in keys().indices {
            guard let (id, authorization) = proof(for: address, key: key) else { return false }
            let request = PeerDialer.Request(
                address: address, method: .HEAD, target: "/swarm/v1/models/\(id)/map", authorization: authorization,
                own: state.withLock { $0.own } ?? PeerAddress(host: "", port: port), introduction: introduction)
            guard let (status, other) = await dialer.ask(request) else { return false }
            guard status == 200 else { continue }
            return state.withLock { state in
                guard !state.hasLeft else { return false }
                if other?.node == introduction.node {
                    // Another address of this very node.
                    state.candidates.remove(address)
                    return false
                }
                var member = Self.member(address, &state)
                member.key = key
                member.isListed = true
                let isNew = !member.isPresent || member.zone != other?.zone ?? ""
                member.isPresent = true
                member.zone = other?.zone ?? ""
                state.members[address] = member
                return isNew
            }
        }
        return false
    }

    // MARK: From the server

    func wanted(_ block: Int, by host: String?) {
        if let peer = peer(at: host) { input.yield(.wanted(block: block, by: peer)) }
    }

    func upload(_ change: SwarmUpload, to host: String?, block: Int) {
        if let peer = peer(at: host) { input.yield(.upload(change, to: peer, block: block)) }
    }

    private func peer(at host: String?) -> SwarmPeer? {
        guard let host else { return nil }
        return state.withLock { $0.peersByHost[host] }
    }

    func loadChanged(_ load: Int) { input.yield(.uploads(load)) }

    /// The answer to `GET map`, for people.
    func snapshot() -> [UInt8] {
        struct Snapshot: Encodable {
            let blocks: Int
            let blockBytes: UInt64
            let held: [String]
            let peers: [String]
        }
        let held = shared.heldRanges.map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound - 1)"
        }
        let snapshot = Snapshot(
            blocks: shared.layout.count, blockBytes: shared.layout.blockBytes, held: held,
            peers: peers.map { "\($0.address)" }.sorted())
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(snapshot)).map { Array($0) } ?? []
    }
}
