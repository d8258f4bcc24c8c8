internal import ChunkStore
internal import Foundation
internal import Logging
internal import ServiceLifecycle
internal import Sessions

/// Fetches the fault device from a mounter that was away when the agent started. Readers until then wait in mmap for
/// what they map.
struct MounterLink: Service {
    let mounter: MounterClient
    let faultDevice: FaultDevice
    let logger: Logger

    private static let pause = Duration.seconds(1)

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                while faultDevice.isAwaited {
                    if let descriptor = await askedBeside() {
                        // Negative: this kernel has none.
                        faultDevice.set(descriptor)
                        logger.notice("the mounter responds", metadata: ["fault device": "\(descriptor >= 0)"])
                        continue
                    }
                    try await Task.sleep(for: Self.pause)
                }
                // The end of a service ends the agent.
                while true { try await Task.sleep(for: .seconds(3600)) }
            }
        } catch is CancellationError {
            // The ordinary end.
        }
    }

    /// On a thread of its own: a mounter that hangs is waited for, which a task must not. Nil: it does not respond.
    private func askedBeside() async -> Int32? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: try? mounter.faultDevice()) }
        }
    }
}
