internal import Synchronization

/// Tells the one that asked that something changed, not what.
final class ChangeNotifier: Sendable {
    private let callback = Mutex<(@Sendable () -> Void)?>(nil)

    func set(_ body: (@Sendable () -> Void)?) { callback.withLock { $0 = body } }

    func notify() { callback.withLock { $0 }?() }

    func finish() { set(nil) }
}
