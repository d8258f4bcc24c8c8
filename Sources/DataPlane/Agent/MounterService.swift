internal import ChunkStore
public import Logging

/// The privileged half of an agent: mounts each cache's tmpfs for it, and opens `/dev/userfaultfd`.
public struct MounterService: Sendable {
    private let mounter: Mounter
    private let logger: Logger

    /// Listens for the agent.
    ///
    /// - Parameters:
    ///   - root: the agent's own.
    ///   - socket: that of ``AgentOptions/mounter``.
    /// - Throws: an error whose description is one line: the root cannot be used, mounting is not allowed, the socket
    ///   cannot be bound.
    public init(root: String, socket: String, logger: Logger) throws {
        mounter = try Mounter(root: root, socket: socket, logger: logger)
        self.logger = logger
        logger.notice("mounter ready", metadata: ["socket": "\(socket)", "root": "\(root)"])
    }

    /// Serves until a signal ends the process. Blocks.
    public func run() { mounter.run() }
}
