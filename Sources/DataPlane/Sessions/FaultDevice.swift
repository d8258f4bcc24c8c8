internal import Glibc
internal import Synchronization

/// `/dev/userfaultfd`: clients in containers may not open it and get a copy of this descriptor. It may come after the
/// first clients, from a mounter that starts later; those read without it.
package final class FaultDevice: Sendable {
    /// Negative: there is none to give.
    private let descriptor: Mutex<Int32>

    /// - Parameter descriptor: closed at the end; negative: none.
    package init(_ descriptor: Int32 = -1) {
        self.descriptor = Mutex(descriptor)
    }

    deinit {
        let last = descriptor.withLock { $0 }
        if last >= 0 { close(last) }
    }

    /// Gives it to the clients that come from now on. The first descriptor stays, another one is closed.
    package func set(_ new: Int32) {
        let surplus = descriptor.withLock { current -> Int32 in
            guard current < 0 else { return new }
            current = new
            return -1
        }
        if surplus >= 0 { close(surplus) }
    }

    /// Valid as long as this object lives; nil: there is none.
    package var number: Int32? {
        let number = descriptor.withLock { $0 }
        return number < 0 ? nil : number
    }
}
