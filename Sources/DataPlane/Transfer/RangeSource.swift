package import ObjectStore
package import RangeTransfer

/// Where ranges of a model's objects come from. ``ModelFill`` and ``SwarmFill`` read through it, so that tests can
/// take its place.
package protocol RangeSource: Sendable {
    /// For messages.
    var name: String { get }
    /// Whether requests through the other have the same principal's rights, as far as is known.
    func isSameParty(as other: any RangeSource) -> Bool
    /// Starts to read a range; `completion` is called exactly once, on any thread, after the last call of the sink.
    ///
    /// - Parameter range: its key is relative to the model's prefix.
    func get(
        _ range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) -> any RunningTransfer
}

extension RangeSource {
    package func isSameParty(as other: any RangeSource) -> Bool { false }
}

/// A transfer under way. It belongs to the engine that runs it, whichever source the fill uses later.
package protocol RunningTransfer: Sendable {
    /// Ends it soon, unless it has ended; its completion is called all the same.
    func cancel()
    /// Receives nothing for now. Its completion may be called meanwhile.
    func pause()
    func resume()
}

/// The model's store, with one caller's credentials.
struct StoreSource: RangeSource {
    let client: StoreClient

    var name: String { "\(client.configuration.endpoint)" }

    func isSameParty(as other: any RangeSource) -> Bool {
        guard let other = other as? StoreSource else { return false }
        return client.configuration.credentials.isSameParty(as: other.client.configuration.credentials)
    }

    func get(
        _ range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) -> any RunningTransfer {
        var full = range
        full.key = client.configuration.location.prefix + range.key
        return StoreTransfer(client: client, id: client.get(full, into: sink) { completion($0.map { _ in }) })
    }
}

/// One file of a model at one peer.
struct PeerSource: RangeSource {
    let engine: TransferEngine
    let url: String
    let headers: [String]

    var name: String { url }

    func get(
        _ range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) -> any RunningTransfer {
        let id = engine.get(url: url, headers: headers, range: range, into: sink) { result in
            // The remedies of `StoreError` are settings of the store, which a peer is not.
            completion(result.map { _ in }.mapError { StoreError($0, remedy: $0.remedy) })
        }
        return EngineTransfer(engine: engine, id: id)
    }
}

private struct EngineTransfer: RunningTransfer {
    let engine: TransferEngine
    let id: TransferID

    func cancel() { engine.cancel(id) }
    func pause() { engine.pause(id) }
    func resume() { engine.resume(id) }
}

private struct StoreTransfer: RunningTransfer {
    let client: StoreClient
    let id: TransferID

    func cancel() { client.cancel(id) }
    func pause() { client.pause(id) }
    func resume() { client.resume(id) }
}
