// Transfer: fills, the work that downloads a model into a cache.
//
// - A `Fill` is an actor with one loop: events come in by a `Mailbox`, a machine decides, the actor carries actions
//   out. `ModelFill` fills from the store alone, `SwarmFill` together with other nodes.
// - `FillMachine` and `SwarmFillMachine` decide. Both are values, and time is an argument.
// - `FillPlanner` says which chunk `ModelFill` fetches next: demands, predictions, read-ahead, prefetch.
// - `Fetch` is the life of one fetch. `RetryLedger` bounds its failures, and `DemandHold` rests prefetches for demands.
// - `ConcurrencyController` sets the number of transfers, `RunLength` their length, `RateBucket` their rate.
// - `FetchSink` puts bytes at their place in the file.
// - Copy/: `LocalCopy` takes files from other caches of the node, as `CopyPlan` and `CopyPace` decide.
// - Layout/: `FileLayout` is the use of a file's bytes, and `PrefetchOrder` fetches first what every token needs.
// Invariants:
// - Of a chunk, and in a swarm of a block, one fetch at a time has a writer.
// - No byte passes through an actor: the engine's threads write to the file.
// - The bytes of a peer become visible only when their digest is the one that was announced.
// - The budget of failures belongs to a chunk or block. Another connection does not begin it anew.
// - When `run()` returns, every file is published or failed, or the fill was stopped. `ModelFill` then has no transfer,
//   writer or staging buffer left.
// Left to others: requests and the meaning of errors (ObjectStore), sockets (RangeTransfer), files and checks
// (ChunkStore), messages of peers (Swarm), the choice of a peer (SwarmPlan), when a fill begins (Models).

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
    /// Requests to the store may go through this client too: it takes the place of a former one of the same principal,
    /// and of one that the store refuses (``StoreParties``).
    func use(_ client: StoreClient)
    /// From now on the fill receives at most so much; nil: no limit.
    func limit(bytesPerSecond: Int64?)
    /// Ends ``run()`` soon; chunks that were not finished stay missing.
    func stop()
}

extension ModelFill: Fill {}
