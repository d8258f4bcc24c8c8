internal import ChunkStore
internal import SwarmPlan

/// The rest of prefetch while readers wait.
///
/// For readers of other models it rests as in a fill from the store alone. For this model's own readers it does so
/// while the node is alone (``DemandHold``). Among other nodes it does not: they wait for what this node passes on and
/// reads from the store, and a swarm in which each node rests for its own reader goes block by block.
extension SwarmFillMachine {
    mutating func demand(_ blocks: [Int], _ now: Instant) {
        guard phase == .filling else { return }
        var bytes: UInt64 = 0
        for block in blocks where !failedFiles.contains(layout.file(of: block)) && demanded.insert(block).inserted {
            // A block that is on its way has its part of the link already.
            if writers[block] == nil { bytes += layout.bytes(of: block) }
        }
        demandHold.demanded(bytes: bytes, now: now)
        hold(now)
    }

    /// How many fetches may begin that nobody waits for.
    var prefetchesToBegin: Int {
        guard let limit = prefetchLimit else { return .max }
        return max(0, limit - prefetching.count)
    }

    /// So many prefetches may receive while readers wait, of this model or another; nil: all.
    var prefetchLimit: Int? { extent.limit(with: othersLimit) }

    /// Transfers that nobody waits for, in the order in which the planner asked.
    private var prefetching: [SwarmFetch] {
        ids.filter { id in
            guard let record = records[id], case .transferring = record.stage else { return false }
            return !isWanted(record)
        }
    }

    /// How much of the prefetch rests now for this model's own readers.
    mutating func look(_ now: Instant) -> DemandHold.Extent {
        guard isAlone else { return .none }
        return demandHold.extent(isWaiting: !demanded.isEmpty, now: now)
    }

    mutating func hold(_ now: Instant) {
        extent = look(now)
        let exempt = prefetchLimit.map { Set(prefetching.prefix($0)) }
        for id in ids {
            guard var record = records[id], case .transferring(var fetch) = record.stage else { continue }
            if !isWanted(record), exempt.map({ !$0.contains(id) }) ?? false {
                guard fetch.hold() else { continue }
                actions.append(.pause(id))
            } else {
                guard fetch.released(received: Int64(record.received), now: now) else { continue }
                actions.append(.resume(id))
            }
            record.stage = .transferring(fetch)
            records[id] = record
        }
    }
}
