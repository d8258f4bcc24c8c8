// Simulator: the program `modelcache-sim`.
//
// - `ModelcacheSim` reads the options and simulates each scenario with each number of nodes.
// - `Table` writes reports as lines of text and as JSON.
// Invariants: the program ends with 1 where a node of the swarm took longer than with as many direct downloads.
// Left to others: the simulation (SwarmSimulation), the decisions (SwarmPlan).

import ArgumentParser
import SwarmPlan
import SwarmSimulation

@main
struct ModelcacheSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "modelcache-sim",
        abstract: "The swarm's planner on simulated time.",
        discussion: """
            Prints, for every number of nodes, the mean and the slowest node's time over the wire time of one plain \
            download, beside the bounds that the scenario sets, the slowest of as many direct downloads, and the \
            bytes read from the store over the model's bytes. Equal options give equal results. Ends with 1 where a \
            node of the swarm took longer than with as many direct downloads.

            Examples:
              modelcache-sim --nodes 1,2,5,10,20,50
              modelcache-sim --nodes 200,1000,5000 --blocks 480 --json
              modelcache-sim --nodes 50 --scenario kill-third --seed 7
              modelcache-sim --nodes 50 --scenario all
              modelcache-sim --nodes 50 --scenario uniform,churn,slow-peer --strategy chain
              modelcache-sim --nodes 100 --link 1250e6 --blocks 2000 --block-bytes 4194304

            Scenarios: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).
            """)

    @Option(help: "Numbers of nodes, separated by commas.") var nodes = "50"
    @Option(help: "Blocks of the model.") var blocks = 480
    @Option(help: "Bytes of a block.") var blockBytes = 524_288
    @Option(help: "Bytes a second of every node's link, each way.") var link = 5e6
    @Option(help: "Bytes a second that the store gives in all; 0: as one link.") var store = 0.0
    @Option(help: "A scenario, several separated by commas, or all.") var scenario = "uniform"
    @Option(help: "How nodes get the model: swarm, or chain (each from the node before it).")
    var strategy = SimulationStrategy.swarm.rawValue
    @Option(help: "Seed of all randomness.") var seed: UInt64 = 1
    @Option(help: "One-way latency between nodes, in milliseconds.") var latency = 1.0
    @Option(help: "The store's time to the first byte, in milliseconds.") var storeLatency = 10.0
    @Option(help: "Blocks that every node's reader demands ahead, in order; 0: no reader, but 8 in readers-apart.")
    var readers = 0
    @Option(help: "Zones that nodes announce, with links between them as wide as any; 0: none.") var zones = 0
    @Option(help: "Requests a node serves at once.") var uploadSlots = SimulationParameters().uploadSlots
    @Option(help: "Neighbours of a node in a large swarm; 0: the planner's default.") var neighbours = 0
    @Option(help: "Fetches from peers at once; 0: the planner's default.") var peerFetches = 0
    @Option(help: "Blocks read from the store at once by the swarm; 0: the planner's default.") var originWindow = 0
    @Option(help: "Relaying of blocks that still arrive: none, store, all; default: the planner's.") var relay = ""
    @Option(
        name: .customLong("set"),
        help: """
            A setting of the planner as name=number: choices, queue, idle, per-peer, suppress, patience, interval (ms), \
            load-interval (ms).
            """)
    var settings: [String] = []
    @Option(help: "Print every planner's state at this time, in seconds.") var dump = 0.0
    @Option(help: "Segments in which a block moves.") var segments = 4
    @Flag(help: "One JSON object a line.") var json = false

    mutating func run() throws {
        let scenarios: [Scenario]
        if scenario == "all" {
            scenarios = Scenario.allCases
        } else {
            scenarios = try scenario.split(separator: ",").map { name in
                guard let known = Scenario(rawValue: String(name)) else {
                    let known = Scenario.allCases.map(\.rawValue).joined(separator: ", ")
                    throw ValidationError("unknown scenario \(name); one of: \(known)")
                }
                return known
            }
        }
        let counts = try nodes.split(separator: ",").map { text in
            guard let count = Int(text), (1...100_000).contains(count) else {
                throw ValidationError("--nodes takes numbers from 1 to 100000")
            }
            return count
        }
        guard blocks > 0, blockBytes > 0, link > 0, store >= 0, (1...64).contains(segments) else {
            throw ValidationError("sizes and rates must be positive; --segments at most 64")
        }
        guard ["", "none", "store", "all"].contains(relay) else {
            throw ValidationError("--relay takes none, store or all")
        }
        guard SimulationStrategy(rawValue: strategy) != nil else {
            throw ValidationError("--strategy takes swarm or chain, not \(strategy)")
        }
        var slower = 0
        if !json { print(Table.head) }
        for scenario in scenarios {
            for count in counts {
                var simulation = Simulation(parameters(scenario, count))
                let clock = ContinuousClock()
                let began = clock.now
                let report = simulation.run()
                let took = clock.now - began
                for line in report.dump { print(line) }
                print(json ? Table.json(report, took) : Table.row(report, took))
                if report.parameters.strategy == .swarm { slower += report.slowerThanDirect }
            }
        }
        guard slower > 0 else { return }
        throw SlowerThanDirect(nodes: slower)
    }

    /// The report of nodes that a swarm must not have.
    private struct SlowerThanDirect: Error, CustomStringConvertible {
        let nodes: Int
        var description: String { "\(nodes) nodes took longer than as many direct downloads from the store" }
    }

    private func parameters(_ scenario: Scenario, _ count: Int) -> SimulationParameters {
        var parameters = SimulationParameters()
        parameters.nodes = count
        parameters.blocks = blocks
        parameters.blockBytes = blockBytes
        parameters.link = link
        parameters.store = store
        parameters.scenario = scenario
        parameters.seed = seed
        parameters.strategy = SimulationStrategy(rawValue: strategy) ?? .swarm
        parameters.latency = SwarmNanoseconds(latency * 1e6)
        parameters.storeLatency = SwarmNanoseconds(storeLatency * 1e6)
        parameters.readers = readers
        parameters.zones = zones
        parameters.uploadSlots = uploadSlots
        parameters.segments = segments
        parameters.dumpAt = dump
        let settings = settings
        let (neighbours, peerFetches, originWindow, relay) = (neighbours, peerFetches, originWindow, relay)
        parameters.adjust = { configuration in
            for setting in settings {
                let parts = setting.split(separator: "=")
                guard parts.count == 2, let value = Int(parts[1]) else { continue }
                switch parts[0] {
                case "choices": configuration.choices = value
                case "queue": configuration.longestQueue = value
                case "idle": configuration.idleLoad = value
                case "suppress": configuration.suppressesKnown = value != 0
                case "patience": configuration.patienceFactor = Double(value)
                case "per-peer": configuration.fetchesPerPeer = value
                case "interval": configuration.announceInterval = .milliseconds(UInt64(value))
                case "load-interval": configuration.loadInterval = .milliseconds(UInt64(value))
                default: break
                }
            }
            if neighbours > 0 { configuration.neighbours = neighbours }
            if neighbours > 0 { configuration.fullMesh = min(configuration.fullMesh, neighbours) }
            if peerFetches > 0 { configuration.peerFetches = peerFetches }
            if originWindow > 0 { configuration.originWindow = originWindow }
            if !relay.isEmpty {
                configuration.relays = relay != "none"
                configuration.relaysPeers = relay == "all"
            }
        }
        return parameters
    }
}
