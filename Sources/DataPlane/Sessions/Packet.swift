internal import AgentWire

/// One packet between a client (preload library or command) and the agent, as agent_wire.h defines it.
///
/// Decoding is total: any bytes give a packet or a ``PacketError``, nothing traps. The bytes come from
/// whoever can reach the socket.
public enum Packet: Equatable, Sendable {
    case open(settings: [String: String])
    case demand(file: UInt32, offset: UInt64, length: UInt64)
    case subscribe
    case opened(Opened)
    case error(code: UInt32, message: String)
    case notice
    case control(json: [UInt8])

    /// The body of `MC_OPENED`.
    public struct Opened: Equatable, Sendable {
        public var flags: UInt32
        public var fileCount: UInt32
        public var totalBytes: UInt64
        /// 8 bytes; identity of the set of files.
        public var generation: [UInt8]
        /// Number of the set.
        public var set: UInt64
        /// Absolute path.
        public var directory: String

        public init(
            flags: UInt32, fileCount: UInt32, totalBytes: UInt64, generation: [UInt8], set: UInt64, directory: String
        ) {
            self.flags = flags
            self.fileCount = fileCount
            self.totalBytes = totalBytes
            self.generation = generation
            self.set = set
            self.directory = directory
        }
    }

    /// Largest packet either side accepts, in bytes.
    public static let maximumBytes = Int(MC_WIRE_MAX_PACKET)
}

/// Why bytes are not a packet.
public enum PacketError: Error, Equatable, Sendable, CustomStringConvertible {
    case short(bytes: Int)
    case wrongMagic
    case wrongVersion(UInt16)
    case wrongLength(stated: Int, actual: Int)
    case unknownType(UInt16)
    case malformedBody(type: UInt16)
    /// Longer than ``Packet/maximumBytes``.
    case tooLong

    public var description: String {
        switch self {
        case .short(let bytes): "packet of \(bytes) bytes is shorter than a header"
        case .wrongMagic: "packet does not start with the protocol's magic number"
        case .wrongVersion(let version):
            "protocol version \(version), but this agent speaks \(MC_WIRE_VERSION): use the library and the agent of one release"
        case .wrongLength(let stated, let actual): "header states \(stated) bytes of body, packet has \(actual)"
        case .unknownType(let type): "unknown message type \(type)"
        case .malformedBody(let type): "malformed body of message type \(type)"
        case .tooLong: "packet is longer than \(MC_WIRE_MAX_PACKET) bytes"
        }
    }
}

extension Packet {
    private enum Kind {
        static let open = UInt16(MC_OPEN.rawValue)
        static let demand = UInt16(MC_DEMAND.rawValue)
        static let subscribe = UInt16(MC_SUBSCRIBE.rawValue)
        static let opened = UInt16(MC_OPENED.rawValue)
        static let error = UInt16(MC_ERROR.rawValue)
        static let notice = UInt16(MC_NOTICE.rawValue)
        static let control = UInt16(MC_CONTROL.rawValue)
    }

    /// - Throws: ``PacketError``.
    public init(decoding bytes: [UInt8]) throws(PacketError) {
        let headerBytes = MemoryLayout<mc_header>.size
        guard bytes.count >= headerBytes else { throw .short(bytes: bytes.count) }
        guard bytes.littleEndian(at: 0, as: UInt32.self) == MC_WIRE_MAGIC else { throw .wrongMagic }
        let version = bytes.littleEndian(at: 4, as: UInt16.self)
        guard version == UInt16(MC_WIRE_VERSION) else { throw .wrongVersion(version) }
        let type = bytes.littleEndian(at: 6, as: UInt16.self)
        let length = Int(bytes.littleEndian(at: 8, as: UInt32.self))
        guard length == bytes.count - headerBytes else {
            throw .wrongLength(stated: length, actual: bytes.count - headerBytes)
        }
        let body = Array(bytes[headerBytes...])
        switch type {
        case Kind.open:
            self = .open(settings: try Self.settings(from: body))
        case Kind.demand:
            guard body.count == MemoryLayout<mc_demand>.size else { throw .malformedBody(type: type) }
            let length = body.littleEndian(at: 16, as: UInt64.self)
            guard length > 0 else { throw .malformedBody(type: type) }
            self = .demand(
                file: body.littleEndian(at: 0, as: UInt32.self),
                offset: body.littleEndian(at: 8, as: UInt64.self), length: length)
        case Kind.subscribe:
            self = .subscribe
        case Kind.opened:
            let fixed = MemoryLayout<mc_opened>.size
            guard let directory = Self.string(body, from: fixed) else { throw .malformedBody(type: type) }
            self = .opened(
                Opened(
                    flags: body.littleEndian(at: 0, as: UInt32.self),
                    fileCount: body.littleEndian(at: 4, as: UInt32.self),
                    totalBytes: body.littleEndian(at: 8, as: UInt64.self),
                    generation: Array(body[24..<32]), set: body.littleEndian(at: 16, as: UInt64.self),
                    directory: directory))
        case Kind.error:
            let fixed = MemoryLayout<mc_error>.size
            guard let message = Self.string(body, from: fixed) else { throw .malformedBody(type: type) }
            self = .error(code: body.littleEndian(at: 0, as: UInt32.self), message: message)
        case Kind.notice:
            self = .notice
        case Kind.control:
            self = .control(json: body)
        default:
            throw .unknownType(type)
        }
    }

    /// The NUL-terminated text that ends a body; nil when it is not UTF-8 or has a NUL inside.
    private static func string(_ body: [UInt8], from start: Int) -> String? {
        guard body.count > start, body.last == 0 else { return nil }
        let text = body[start..<(body.count - 1)]
        return text.contains(0) ? nil : String(validating: text, as: UTF8.self)
    }

    private static func settings(from body: [UInt8]) throws(PacketError) -> [String: String] {
        var settings: [String: String] = [:]
        guard body.isEmpty || body.last == 0 else { throw .malformedBody(type: Kind.open) }
        for entry in body.split(separator: 0) {
            guard let text = String(validating: entry, as: UTF8.self), let equals = text.firstIndex(of: "=") else {
                throw .malformedBody(type: Kind.open)
            }
            settings[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        return settings
    }

    /// The packet's bytes; longer than ``maximumBytes`` only if its strings are.
    public var encoded: [UInt8] {
        var body: [UInt8] = []
        let type: UInt16
        switch self {
        case .open(let settings):
            type = Kind.open
            for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
                body += Array("\(name)=\(value)".utf8) + [0]
            }
        case .demand(let file, let offset, let length):
            type = Kind.demand
            body.append(littleEndian: file)
            body.append(littleEndian: UInt32(0))
            body.append(littleEndian: offset)
            body.append(littleEndian: length)
        case .subscribe: type = Kind.subscribe
        case .opened(let opened):
            type = Kind.opened
            body.append(littleEndian: opened.flags)
            body.append(littleEndian: opened.fileCount)
            body.append(littleEndian: opened.totalBytes)
            body.append(littleEndian: opened.set)
            body += opened.generation.prefix(8)
            body += [UInt8](repeating: 0, count: max(0, 8 - opened.generation.count))
            body += Array(opened.directory.utf8) + [0]
        case .error(let code, let message):
            type = Kind.error
            body.append(littleEndian: code)
            body.append(littleEndian: UInt32(0))
            body += Array(message.utf8.map { $0 == 0 ? 32 : $0 }) + [0]
        case .notice: type = Kind.notice
        case .control(let json):
            type = Kind.control
            body = json
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + MemoryLayout<mc_header>.size)
        bytes.append(littleEndian: UInt32(MC_WIRE_MAGIC))
        bytes.append(littleEndian: UInt16(MC_WIRE_VERSION))
        bytes.append(littleEndian: type)
        bytes.append(littleEndian: UInt32(body.count))
        bytes.append(littleEndian: UInt32(0))
        return bytes + body
    }
}

extension [UInt8] {
    fileprivate func littleEndian<T: FixedWidthInteger>(at offset: Int, as: T.Type) -> T {
        var value: T = 0
        for index in (0..<MemoryLayout<T>.size).reversed() { value = value << 8 | T(self[offset + index]) }
        return value
    }

    fileprivate mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        for shift in 0..<MemoryLayout<T>.size { append(UInt8(truncatingIfNeeded: value >> (8 * shift))) }
    }
}
