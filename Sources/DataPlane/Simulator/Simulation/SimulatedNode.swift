import DequeModule
import SwarmPlan

/// A node of the simulation: its links, its uploads, its planners (one a model).
struct SimulatedNode {
    var up: Double
    var down: Double
    var rack = -1
    var isAlive = false
    /// It sends no block bytes any more, but still sends control messages.
    var isStalled = false
    var side: UInt8 = 0
    var started: UInt64 = 0
    var finished: UInt64 = 0
    var died: UInt64 = 0
    /// It had everything at its start.
    var isSeeder = false

    var isSending = false
    /// Flows that have segments to send now, served in turn.
    var ready = Deque<Int32>()
    var queue = UploadQueue<Int32>()
    var downFree: UInt64 = 0
    /// Control bytes that the uplink has yet to carry.
    var debt = 0

    /// Flows to this node in flight.
    var incoming: [Int32] = []
    var planners: [Int] = []
    var connections: Set<Int32> = []
}

/// One block on its way.
struct Flow {
    /// Node index; -1: the store.
    var source: Int32
    var destination: Int32
    var planner: Int32
    var block: Int32
    var fetch: SwarmFetch
    var urgent: Bool
    var sent: UInt8 = 0
    var delivered: UInt8 = 0
    /// The flow is in its source's queue.
    var isQueued = false
    var isServed = false
    var isReady = false
    /// Its source's planner was told that it is being sent.
    var isSending = false
    var isOver = false
}
