internal import Foundation

/// Reads large objects for their digests, one at a time, while responses go on.
final class DigestQueue: Sendable {
    static let shared = DigestQueue()
    private let queue = DispatchQueue(label: "digests", qos: .utility)

    func read(_ file: OpenFile, digests: ObjectDigests) {
        queue.async { _ = digests.digest(descriptor: file.descriptor, file.state) }
    }
}
