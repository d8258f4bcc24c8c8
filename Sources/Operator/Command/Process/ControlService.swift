import Controller
import Foundation
import Glibc
import Kubernetes
import Logging
import ServiceLifecycle
import Synchronization

/// Finds the API server, waits to lead, then controls until the shutdown or until the Lease is lost.
final class ControlService: Service {
    private let client: KubernetesClient
    private let controller: ModelCacheController
    /// Nil: this process always acts.
    private let elector: LeaderElector?
    private let shutdownTimeout: Duration
    /// After which a process that was asked to end does so whatever hangs.
    private let lastLimit: Duration
    private let logger: Logger
    private let isServerFound = Mutex(false)

    /// How long an API server may be missing at the start. A kubelet's restarts are slower and say less.
    private static let patience = Duration.seconds(60)
    /// Between a lost Lease and the end of the process in any case: another may lead after 15 s less 10 s.
    private static let lastGasp = Duration.seconds(3)

    init(
        client: KubernetesClient, controller: ModelCacheController, elector: LeaderElector?, shutdownTimeout: Duration,
        lastLimit: Duration, logger: Logger
    ) {
        self.client = client
        self.controller = controller
        self.elector = elector
        self.shutdownTimeout = shutdownTimeout
        self.lastLimit = lastLimit
        self.logger = logger
    }

    /// The API server has answered.
    var isConnected: Bool { isServerFound.withLock { $0 } }

    /// Adds the checks that readiness asks. A replica that waits to lead watches nothing and is ready: else a rolling
    /// update would wait for it for ever.
    func addChecks(to readiness: Readiness) {
        readiness.add("api-server") { self.isConnected ? nil : "no answer from it yet" }
        readiness.add("caches") {
            if let elector = self.elector, !elector.isLeader { return nil }
            let missing = self.controller.missingLists
            return missing.isEmpty ? nil : "no list of \(missing.joined(separator: ", "))"
        }
    }

    func run() async throws {
        try await withGracefulShutdownHandler {
            do {
                try await cancelWhenGracefulShutdown { try await self.connect() }
                if let elector, !Task.isShuttingDownGracefully {
                    try await cancelWhenGracefulShutdown { try await elector.acquire() }
                }
            } catch  where Task.isShuttingDownGracefully {
                return
            }
            guard let elector else { return try await control() }
            try await elector.lead(onLost: { self.endSoon($0) }, control)
        } onGracefulShutdown: {
            self.logger.info("asked to end", metadata: ["timeout": "\(self.shutdownTimeout)"])
            self.endAnyhow()
        }
    }

    /// The work that only the leader does.
    @Sendable private func control() async throws {
        do {
            try await withGracefulShutdownHandler {
                try await self.controller.run()
            } onGracefulShutdown: {
                self.controller.stop()
            }
        } catch is CancellationError where Task.isShuttingDownGracefully {}
    }

    /// A wrong address or certificate is told here and not by a hundred failing watches.
    private func connect() async throws {
        let deadline = ContinuousClock.now + Self.patience
        while !Task.isCancelled {
            do {
                let answer = try await client.raw("/version")
                let version =
                    (try? JSONDecoder().decode(ServerVersion.self, from: Data(answer)))?.gitVersion ?? "unknown"
                isServerFound.withLock { $0 = true }
                return logger.info("API server found", metadata: ["version": "\(version)"])
            } catch let error as KubernetesError {
                if case .credentials(let problem) = error.cause { throw OperatorFailure.wrongSetting("\(problem)") }
                if error.isUnauthorized || error.isForbidden {
                    throw OperatorFailure.notAllowed("\(error); check the credentials and their rights")
                }
                guard error.isTransient else {
                    throw OperatorFailure.wrongSetting("\(error); is this the API server's address?")
                }
                guard ContinuousClock.now < deadline else {
                    throw OperatorFailure.unreachable("\(error); gave up after \(Self.patience.components.seconds)s")
                }
                logger.warning("API server not reached, trying again", metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: .seconds(2))
        }
    }

    private func endSoon(_ lost: LeaseLost) {
        Task.detached {
            try? await Task.sleep(for: Self.lastGasp)
            FileHandle.standardError.write(Data("modelcache-operator: \(lost); ending, to be started again\n".utf8))
            _exit(1)
        }
    }

    /// The process ends, whatever hangs, before a kubelet would kill it, after 30 s by default.
    private func endAnyhow() {
        Task.detached { [logger, lastLimit] in
            try? await Task.sleep(for: lastLimit)
            logger.critical("still not ended, leaving")
            _exit(1)
        }
    }
}

private struct ServerVersion: Decodable {
    let gitVersion: String
}
