public import AgentAPI
internal import Foundation
public import Models
public import Swarm

/// A request of the `modelcache` command to a running agent, as JSON in `MC_CONTROL`.
public enum ControlRequest: Codable, Equatable, Sendable {
    case status
    /// Asks which node holds and serves what of the models that are shared with other nodes.
    case swarm
    /// Asks for the starts of pods that the agent remembers.
    case starts
    /// Gives up the cached bytes of one model, by id, or of all that nobody uses when nil.
    case evict(model: String?, force: Bool)
    case pin(model: String, pinned: Bool)
}

extension ControlRequest {
    /// Why a message is no request.
    package struct Malformed: Error {
        /// Continues "a control request that".
        package let problem: String
    }

    /// Names are short, so a request is.
    private static let maximumBytes = 4096
    private static let maximumDepth = 8

    /// Bytes of another process.
    package init(decoding json: [UInt8]) throws(Malformed) {
        guard json.count <= Self.maximumBytes else {
            throw Malformed(problem: "has \(json.count) bytes, the most is \(Self.maximumBytes)")
        }
        guard Self.depth(json) <= Self.maximumDepth else {
            throw Malformed(problem: "is nested more than \(Self.maximumDepth) deep")
        }
        do {
            self = try JSONDecoder().decode(ControlRequest.self, from: Data(json))
        } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
            throw Malformed(problem: "is no complete JSON, or names no request of this release")
        } catch DecodingError.keyNotFound(let key, _) {
            throw Malformed(problem: "lacks the member \(key.stringValue)")
        } catch DecodingError.typeMismatch(_, let context) {
            throw Malformed(problem: "has a member \(context.codingPath.last?.stringValue ?? "") of another type")
        } catch {
            throw Malformed(problem: "is no JSON of this release")
        }
    }

    /// Of brackets, those in strings included: none of ours has any.
    private static func depth(_ json: [UInt8]) -> Int {
        var depth = 0
        var most = 0
        for byte in json {
            if byte == 0x5b || byte == 0x7b { depth += 1 }
            if byte == 0x5d || byte == 0x7d { depth -= 1 }
            most = max(most, depth)
        }
        return most
    }
}

/// The agent's answer.
public enum ControlResponse: Codable, Equatable, Sendable {
    case status(AgentStatus)
    case swarm([SwarmReport])
    /// By the uid of the ModelCache that was opened.
    case starts([String: [ReaderStart]])
    case evicted([String])
    case pinned
    case failed(String)
}

/// An answer's JSON is cut into packets; the first byte of each says whether more follow.
enum ControlFraming {
    static let more: UInt8 = 0x2b  // +
    static let last: UInt8 = 0x2e  // .
    static let partBytes = 48 << 10

    static func packets(_ json: [UInt8]) -> [Packet] {
        var packets: [Packet] = []
        var rest = json[...]
        repeat {
            let part = rest.prefix(partBytes)
            rest = rest.dropFirst(part.count)
            packets.append(.control(json: [rest.isEmpty ? last : more] + part))
        } while !rest.isEmpty
        return packets
    }
}
