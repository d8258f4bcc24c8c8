/// Lists, heads and range reads of one bucket, over a `TransferEngine` that many clients may share.
///
/// Thread-safe. Keys are full keys in the bucket, prefix included.
public final class StoreClient: Sendable {
    public let configuration: StoreConfiguration
    let engine: TransferEngine

    public init(_ configuration: StoreConfiguration, engine: TransferEngine) {
        self.configuration = configuration
        self.engine = engine
    }

    /// Every object under the location's prefix, nested ones included (ListObjectsV2, all pages).
    ///
    /// Throws `noSuchBucket` and the like; an empty prefix is an empty listing. Retries by `configuration.retry`.
    public func list() async throws(StoreError) -> ObjectListing {
        throw StoreError(.settings, detail: "not there yet")
    }

    /// Size, entity tag and checksums of one object. Retries by `configuration.retry`.
    public func head(_ key: String) async throws(StoreError) -> ObjectHead {
        throw StoreError(.settings, detail: "not there yet")
    }

    /// Starts to read a range; `completion` is called exactly once, on an engine thread, after the last `receive`.
    ///
    /// Not retried, except once with fresh credentials when the store says that the token has expired and the
    /// provider has another. Failures before the body leave the sink untouched; later ones may have delivered a part.
    @discardableResult
    public func get(
        _ range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<RangeReceipt, StoreError>) -> Void
    ) -> TransferID {
        TransferID(value: 0, worker: 0)
    }

    /// Ends a transfer soon; its completion is called with `StoreError.cancelled` unless it was done already.
    public func cancel(_ id: TransferID) {}

    /// How far this machine's clock is ahead of the store's, from the last answer's `Date` (whole seconds); nil before
    /// the first answer.
    public var clockSkew: Duration? { nil }
}
