public import ObjectStore

/// The actor that fills one model: from the store alone (``ModelFill``), or together with other nodes (``SwarmFill``).
public protocol Fill: Actor {
    /// Counters that may be read from anywhere.
    nonisolated var meter: FillMeter { get }
    /// The kind of failure that ended the fill early; nil while nothing did. The files carry the words.
    nonisolated var failure: FillFailure? { get }
    /// Fills until every file is published or failed, or until ``stop()``.
    func run() async
    /// A reader waits for bytes of a file.
    func demand(file: Int, offset: UInt64, length: UInt64)
    /// From now on requests to the store go through this client: its credentials are newer.
    func use(_ client: StoreClient)
    /// From now on the fill receives at most so much; nil: no limit.
    func limit(bytesPerSecond: Int64?)
    /// Ends ``run()`` soon; chunks that were not finished stay missing.
    func stop()
}

extension ModelFill: Fill {}
