import AsyncHTTPClient
import FoundationEssentials
import NIOCore

/// The events of one watch, in order. It ends when the server ends the watch. It throws ``KubernetesError`` when the
/// connection breaks, even in the middle of an event, or when an event cannot be decoded. Iterate it once.
///
/// It reads an event from the network only after the caller took the one before, so a slow reader slows the server.
public struct WatchStream<Resource: KubernetesResource>: AsyncSequence, Sendable {
    public typealias Element = WatchEvent<Resource>

    let body: HTTPClientResponse.Body
    let lineLimit: Int
    let resource: String

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var body: HTTPClientResponse.Body.AsyncIterator
        fileprivate var lines: WatchLineDecoder
        fileprivate let decoder = JSONDecoder()
        fileprivate let resource: String
        fileprivate var ended = false

        public mutating func next() async throws -> WatchEvent<Resource>? {
            guard !ended else { return nil }
            do {
                while true {
                    if let line = try lines.nextLine() {
                        let event = try decoder.decode(WatchEnvelope<Resource>.self, from: Data(buffer: line)).event
                        if case .error = event { ended = true }
                        return event
                    }
                    guard let bytes = try await body.next() else { break }
                    lines.feed(bytes)
                }
                ended = true
                try Task.checkCancellation()
                if lines.isInsideLine { throw error(.connection("the watch was cut in the middle of an event")) }
                return nil
            } catch {
                ended = true
                throw explain(error)
            }
        }

        private func explain(_ error: any Error) -> any Error {
            switch error {
            case is KubernetesError, is CancellationError: error
            case let error as WatchLineDecoder.LineTooLong: self.error(.tooLarge(limit: error.limit))
            case is DecodingError: self.error(.undecodable(ResourceCoding.explain(error)))
            default:
                Task.isCancelled
                    ? CancellationError() : self.error(.connection("the watch was cut (\(type(of: error)))"))
            }
        }

        private func error(_ cause: KubernetesError.Cause) -> KubernetesError {
            KubernetesError(cause, verb: .watch, resource: resource)
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(
            body: body.makeAsyncIterator(), lines: WatchLineDecoder(limit: lineLimit), resource: resource)
    }
}

/// `{"type": "ADDED", "object": {...}}`
struct WatchEnvelope<Resource: KubernetesResource>: Decodable {
    let event: WatchEvent<Resource>

    private enum CodingKeys: String, CodingKey {
        case type
        case object
    }

    private struct Bookmark: Decodable {
        struct Metadata: Decodable { var resourceVersion: String }
        var metadata: Metadata
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let type = try container.decode(String.self, forKey: .type)
        switch type {
        case "ADDED": event = .added(try container.decode(Resource.self, forKey: .object))
        case "MODIFIED": event = .modified(try container.decode(Resource.self, forKey: .object))
        case "DELETED": event = .deleted(try container.decode(Resource.self, forKey: .object))
        case "BOOKMARK":
            let version = try container.decode(Bookmark.self, forKey: .object).metadata.resourceVersion
            event = .bookmark(resourceVersion: version)
        case "ERROR": event = .error(try container.decode(Status.self, forKey: .object))
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .type, in: container, debugDescription: "no type of event is called so")
        }
    }
}
