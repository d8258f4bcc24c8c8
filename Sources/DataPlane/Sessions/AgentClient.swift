internal import Glibc
internal import Foundation
internal import LinuxShim
internal import Models
public import ObjectStore

/// The command's end of a session: connects to the agent's socket and talks packets, blocking.
///
/// Not for use by several threads at once.
public final class AgentClient {
    private let descriptor: Int32
    private let path: String

    /// - Throws: ``AgentUnreachable`` when nobody listens at `path`; ``AgentRefused`` when another user could have put
    ///   the socket there or listens. Root may ask any user's agent for its state, and shows its settings to none but
    ///   its own.
    public init(path: String) throws {
        self.path = path
        let trust = SocketTrust(path: path)
        if trust.user != 0 { try trust.check(path: path) }
        descriptor = mc_seqpacket_connect(path, -1)
        guard descriptor >= 0 else {
            throw AgentUnreachable(path: path, reason: String(cString: strerror(-descriptor)))
        }
        if trust.user != 0 { try trust.check(peerOf: descriptor, path: path) }
    }

    deinit { close(descriptor) }

    /// Opens a model with these settings and waits for the agent's answer.
    ///
    /// - Throws: ``AgentRefused`` with the agent's message, or when the settings would go to another user;
    ///   ``AgentUnreachable`` when the agent goes away.
    public func open(settings: [String: String]) throws -> Packet.Opened {
        let trust = SocketTrust(path: path)
        try trust.check(path: path)
        try trust.check(peerOf: descriptor, path: path)
        let packet = Packet.open(settings: settings)
        guard packet.encoded.count <= Packet.maximumBytes else {
            throw AgentRefused(
                code: 1,
                message:
                    "the settings are larger than \(Packet.maximumBytes) bytes; shorten OSS_PATH, MODEL_DIR or HTTP_SOURCE_IP"
            )
        }
        try send(packet)
        while true {
            switch try receive() {
            case .opened(let opened): return opened
            case .error(let code, let message): throw AgentRefused(code: code, message: message)
            default: continue
            }
        }
    }

    /// Sends a JSON request and returns the JSON answer.
    public func control(_ request: ControlRequest) throws -> ControlResponse {
        try send(.control(json: Array(JSONEncoder().encode(request))))
        // An answer larger than one packet comes in several, joined here.
        var json: [UInt8] = []
        while true {
            switch try receive() {
            case .control(let part):
                guard let kind = part.first else { continue }
                json += part.dropFirst()
                guard kind == ControlFraming.last else { continue }
                return try JSONDecoder().decode(ControlResponse.self, from: Data(json))
            case .error(let code, let message): throw AgentRefused(code: code, message: message)
            default: continue
            }
        }
    }

    private func send(_ packet: Packet) throws {
        let bytes = packet.encoded
        let sent = mc_send_packet(descriptor, bytes, bytes.count, -1, true)
        guard sent == bytes.count else {
            throw AgentUnreachable(path: path, reason: String(cString: strerror(Int32(-sent))))
        }
    }

    private func receive() throws -> Packet {
        var buffer = [UInt8](repeating: 0, count: Packet.maximumBytes)
        while true {
            let count = mc_receive_packet(descriptor, &buffer, buffer.count, nil, true)
            if count == -Int(EINTR) { continue }
            guard count > 0 else { throw AgentUnreachable(path: path, reason: "the agent closed the connection") }
            return try Packet(decoding: Array(buffer.prefix(count)))
        }
    }
}

/// Nobody answers at the agent's socket.
public struct AgentUnreachable: Error, CustomStringConvertible {
    public let path: String
    public let reason: String

    public var description: String {
        "no agent answers at \(path) (\(reason)); start one with `modelcache agent`, or name its socket with --socket or MODELCACHE_SOCKET"
    }
}

/// The agent answered `MC_ERROR`.
public struct AgentRefused: Error, CustomStringConvertible {
    /// A code of agent_wire.h.
    public let code: UInt32
    public let message: String

    /// Whether the store, or an agent that is shutting down, may answer later.
    public var isUnreachable: Bool { code == AgentFailure.Code.unreachable.rawValue }

    public var description: String { message }
}

extension AgentRefused {
    /// The refusal that an agent would have answered for this error of the store.
    public init(_ error: StoreError) {
        let failure = AgentFailure(error)
        self.init(code: failure.code.rawValue, message: failure.message)
    }
}
