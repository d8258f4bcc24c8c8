import Agent
import ArgumentParser
import Foundation
import Sessions
import Swarm

struct SwarmVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm",
        abstract: "Show which nodes hold and serve what of the models that this node shares.",
        discussion: """
            A model moves between nodes in blocks. What a peer holds is known while a control connection to it stands; \
            ASKED are blocks that this node waits for from it, LOAD what it serves to everybody.

            EXAMPLES
              modelcache swarm
              modelcache swarm --watch
              modelcache swarm --json | jq '.[].peers[] | select(.connected)'
            """)

    @OptionGroup var place: AgentLocationOptions

    @OptionGroup var view: RepeatedView

    func run() throws {
        do {
            let client = try AgentClient(path: try place.location().socket)
            try view.show(
                {
                    switch try client.control(.swarm) {
                    case .swarm(let known): return known
                    case .failed(let why): throw CommandFailure(why)
                    case .status, .starts, .evicted, .pinned: return nil
                    }
                },
                text: Self.text)
        } catch {
            fail(error)
        }
    }

    static func text(_ reports: [SwarmReport]) -> String {
        guard !reports.isEmpty else { return "no model is shared with other nodes (see --peers of `modelcache agent`)" }
        return reports.map(text).joined(separator: "\n\n")
    }

    private static func text(_ report: SwarmReport) -> String {
        let reads = report.storeReads.sorted { $0.key < $1.key }.map { "\($0.value) as \($0.key)" }.joined(
            separator: ", ")
        var lines = [
            "\(report.model): holds \(report.heldBlocks) of \(report.blocks) blocks of \(ByteCount.format(report.blockBytes)), the swarm "
                + "\(report.swarmBlocks); \(report.fromPeers) arrive from peers, \(report.fromStore) from the store, \(report.load) uploads",
            "read from the store: \(reads.isEmpty ? "nothing" : reads)",
        ]
        if !report.awaited.isEmpty {
            let list = report.awaited.prefix(4).map { "\($0.block) (\($0.owner ?? "this node"))" }.joined(
                separator: ", ")
            lines.append("readers wait for blocks \(list)")
        }
        if let zone = report.zone { lines.append("this node's zone: \(zone)") }
        var table = Table(
            ["PEER", "ZONE", "LINK", "HOLDS", "LOAD", "ASKED", "RECEIVED", "RATE", "WRONG"],
            rightAligned: [3, 4, 5, 6, 7, 8])
        for peer in report.peers {
            let rate = Int64(peer.bytesPerSecond ?? 0)
            let share = report.blocks > 0 ? peer.heldBlocks * 100 / report.blocks : 100
            table.add([
                peer.address, peer.zone ?? "-", peer.connected ? "up" : "-", peer.connected ? "\(share)%" : "?",
                peer.connected ? "\(peer.load)" : "?", "\(peer.asked)",
                ByteCount.format(peer.receivedBytes), rate > 0 ? ByteCount.format(rate) + "/s" : "-",
                "\(peer.wrongBlocks)",
            ])
        }
        if report.peers.isEmpty { lines.append("no other node has the model open") } else { lines.append(table.text) }
        return lines.joined(separator: "\n")
    }
}
