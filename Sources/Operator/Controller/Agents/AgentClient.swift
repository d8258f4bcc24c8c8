public import AgentAPI
internal import AsyncHTTPClient
internal import FoundationEssentials
internal import NIOCore
internal import Synchronization

/// Where one node's agent listens.
public struct AgentAddress: Sendable, Hashable {
    public var node: String
    /// IP address of the host, without brackets.
    public var host: String
    public var port: Int

    public init(node: String, host: String, port: Int) {
        self.node = node
        self.host = host
        self.port = port
    }

    var origin: String { host.contains(":") ? "http://[\(host)]:\(port)" : "http://\(host):\(port)" }
}

/// Why a request to an agent brought nothing.
public enum AgentFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// No answer; in words.
    case unreachable(String)
    /// It answered, and said no.
    case refused(status: Int, message: String, AgentError)
    /// It answered what it should not.
    case malformed(String)

    public var description: String {
        switch self {
        case .unreachable(let why): why
        case .refused(_, let message, let error): message.isEmpty ? error.code : message
        case .malformed(let what): "the agent's answer cannot be understood: \(what)"
        }
    }

    /// The error that the agent sent; nil when it sent none.
    var error: AgentError? { if case .refused(_, _, let error) = self { error } else { nil } }
    var code: AgentErrorCode? { error?.known }
    var highestOrder: OrderNumber? { error?.highestOrder }
}

/// Speaks the agents' HTTP API, each request signed for the node it goes to.
///
/// Thread-safe. Every request ends within ``timeout``.
public final class AgentClient: Sendable {
    /// For one request, connection included.
    public static let timeout: Duration = .seconds(3)
    static let orderTimeout = CachePath.orderPatience
    /// A report of ten thousand caches.
    private static let maximumAnswerBytes = 8 << 20

    private let http: HTTPClient
    private let secret = Mutex<AuthSecret?>(nil)
    private let numbers = Mutex(OrderNumbers())
    /// One to learn the agent's epoch, one more where another operator gives orders at the same time.
    private static let orderAttempts = 3

    public init() {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(2)
        // Fewer sockets and buffers between polls that are 15 s apart; a busy agent's connection is used each second.
        configuration.connectionPool.idleTimeout = .seconds(5)
        configuration.redirectConfiguration = .disallow
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    public func shutdown() async { try? await http.shutdown() }

    /// Signs from now on with this; nil: unsigned, for agents that are not configured.
    public func use(_ secret: AuthSecret?) { self.secret.withLock { $0 = secret } }

    /// The node has no agent any more.
    func forget(_ node: String) { numbers.withLock { $0.forget(node) } }

    public func report(from agent: AgentAddress) async throws(AgentFailure) -> AgentReport {
        let body = try await send("GET", CachePath.collection, to: agent, timeout: Self.timeout)
        let report: AgentReport = try Self.decoded(body)
        guard report.node == agent.node else {
            throw .malformed("it says it is the agent of \(Words.line(report.node, limit: 64)), not of \(agent.node)")
        }
        guard report.api.overlaps(.own) else {
            throw .malformed(
                "the agent of release \(Words.line(report.version, limit: 32)) speaks \(report.api) of the API, this operator "
                    + "\(APIVersions.own); update the older one")
        }
        return report
    }

    /// The starts of the pods that read the cache.
    public func readers(_ uid: String, on agent: AgentAddress) async throws(AgentFailure) -> ReadersReport {
        try Self.decoded(try await send("GET", CachePath.readers(uid), to: agent, timeout: Self.timeout))
    }

    public func prepare(_ uid: String, _ definition: CacheDefinition, on agent: AgentAddress) async throws(AgentFailure)
        -> CacheReport
    {
        guard let body = try? JSONEncoder().encode(definition) else {
            throw .malformed("the definition cannot be encoded")
        }
        let answer = try await order("PUT", uid, body: Array(body), to: agent)
        return try Self.decoded(answer)
    }

    /// - Parameter force: though it has readers.
    /// - Throws: ``AgentFailure/refused(status:message:_:)`` with `InUse` when it has readers.
    public func evict(_ uid: String, force: Bool = false, on agent: AgentAddress) async throws(AgentFailure) {
        _ = try await order("DELETE", uid, force: force, to: agent)
    }

    /// Numbered and signed anew when the agent takes it for an old one: it started since, or another operator gave
    /// orders.
    private func order(
        _ method: String, _ uid: String, force: Bool = false, body: [UInt8] = [], to agent: AgentAddress
    ) async throws(AgentFailure) -> [UInt8] {
        var attempt = 1
        while true {
            let order = numbers.withLock { $0.next(for: agent.node) }
            do throws(AgentFailure) {
                let target = CachePath.cache(uid, force: force, order: order)
                return try await send(method, target, body: body, to: agent, timeout: Self.orderTimeout)
            } catch {
                guard error.code == .superseded, attempt < Self.orderAttempts else { throw error }
                attempt += 1
                if let highest = error.highestOrder {
                    numbers.withLock { $0.learned(highest, for: agent.node) }
                } else {
                    // An agent of an earlier release goes by the second of the signature.
                    let untilNextSecond = 1000 - WallTime.clock.milliseconds % 1000
                    try? await Task.sleep(for: .milliseconds(untilNextSecond))
                }
            }
        }
    }

    private static func decoded<Value: Decodable>(_ body: [UInt8]) throws(AgentFailure) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(body))
        } catch {
            throw .malformed("it is no \(Value.self)")
        }
    }

    private func send(
        _ method: String, _ target: String, body: [UInt8] = [], to agent: AgentAddress, timeout: Duration
    ) async throws(AgentFailure) -> [UInt8] {
        var request = HTTPClientRequest(url: agent.origin + target)
        request.method = .RAW(value: method)
        if !body.isEmpty {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(body)
        }
        if let secret = secret.withLock({ $0 }) {
            let signed = RequestSignature.Request(method: method, target: target, node: agent.node, body: body)
            let now = WallTime.clock.milliseconds / 1000
            request.headers.add(
                name: "Authorization", value: RequestSignature.authorization(for: signed, secret: secret, now: now))
        }
        let status: Int
        let answer: [UInt8]
        let date: String?
        do {
            let response = try await http.execute(request, timeout: .milliseconds(timeout.inMilliseconds))
            status = Int(response.status.code)
            date = response.headers.first(name: "Date")
            answer = Array((try await response.body.collect(upTo: Self.maximumAnswerBytes)).readableBytesView)
        } catch {
            throw .unreachable(
                "\(agent.host):\(agent.port) does not answer: \(Self.words(error)); see its pod, and whether the operator may reach that port"
            )
        }
        guard !(200..<300).contains(status) else { return answer }
        let known = try? JSONDecoder().decode(AgentError.self, from: Data(answer))
        var message = known?.description ?? "HTTP \(status)"
        if known?.known == .clockSkewed {
            message =
                "the clocks of the operator and of node \(agent.node) differ by more than "
                + "\(RequestSignature.maximumSkewSeconds) s\(date.map { " (the node's says \(Words.line($0, limit: 40)))" } ?? ""); "
                + "set them right, with NTP for example"
        } else if status == 401 {
            message =
                "the agent on \(agent.node) does not accept the operator's signature; see that it mounts the Secret "
                + "modelcache-agent-auth of this installation"
        }
        var error = known ?? AgentError(.notFound, "", remedy: "")
        if known == nil { error.code = "HTTP\(status)" }
        throw .refused(status: status, message: Words.line(message, limit: 512), error)
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as HTTPClientError
        where error == .deadlineExceeded || error == .connectTimeout || error == .readTimeout:
            "no answer in time"
        default: Words.line("\(error)", limit: 160)
        }
    }
}
