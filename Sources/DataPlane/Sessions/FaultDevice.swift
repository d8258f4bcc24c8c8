internal import Glibc
internal import Synchronization

/// `/dev/userfaultfd`: clients in containers may not open it and get a copy of this descriptor. It may come after the
/// first clients, from a mounter that starts later; those read without it.
package final class FaultDevice: Sendable {
    /// Negative: there is none to give. Nil: it is still to come.
    private let descriptor: Mutex<Int32?>

    /// - Parameter descriptor: closed at the end; negative: none; nil: ``set(_:)`` will bring it.
    package init(_ descriptor: Int32?) {
        self.descriptor = Mutex(descriptor)
    }

    deinit {
        if let last = descriptor.withLock({ $0 }), last >= 0 { close(last) }
    }

    /// Gives it to the clients that come from now on; negative: there is none. The first one stays, another is
    /// closed.
    package func set(_ new: Int32) {
        let surplus = descriptor.withLock { current -> Int32 in
            guard current == nil else { return new }
            current = new
            return -1
        }
        if surplus >= 0 { close(surplus) }
    }

    /// Valid as long as this object lives; nil: there is none.
    package var number: Int32? {
        descriptor.withLock { $0 }.flatMap { $0 < 0 ? nil : $0 }
    }

    /// Whether it is still to come.
    package var isAwaited: Bool { descriptor.withLock { $0 == nil } }
}
