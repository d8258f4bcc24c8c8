import Agent
import ArgumentParser
import Foundation
import Models
import Sessions

struct StatusVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what the agent has cached and what is arriving.",
        discussion: """
            EXAMPLES
              modelcache status
              modelcache status --watch
              modelcache status --json | jq '.models[].phase'
            """)

    @OptionGroup var place: AgentLocationOptions

    @OptionGroup var view: RepeatedView

    func run() throws {
        do {
            let client = try AgentClient(path: try place.location().socket)
            try view.show(
                {
                    guard case .status(let status) = try client.control(.status) else { return nil }
                    return status
                }, text: Self.text)
        } catch {
            fail(error)
        }
    }

    static func text(_ status: AgentStatus) -> String {
        var lines = [
            "agent \(status.version), pid \(status.processID), up \(TimeText.seconds(status.uptimeSeconds)), root \(status.root)",
            "cached \(ByteCount.format(status.cachedBytes)) of at most \(ByteCount.format(status.budgetBytes)); \(status.sessions) sessions",
        ]
        for role in status.credentials ?? [] {
            let until = role.expiry.map { Date(timeIntervalSince1970: Double($0)).ISO8601Format() }
            lines.append(
                "reads as \(role.principal)\(until.map { " until \($0)" } ?? "")\(role.problem.map { "; \($0)" } ?? "")"
            )
        }
        guard !status.models.isEmpty else { return (lines + ["no model is cached"]).joined(separator: "\n") }
        var table = Table(
            [
                "MODEL", "PHASE", "FILES", "SIZE", "PRESENT", "RATE", "LEFT", "FROM STORE", "FROM PEERS", "COPIED",
                "TO PEERS", "USERS", "SOURCE",
            ],
            rightAligned: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
        for model in status.models {
            table.add([
                model.title, model.phase.rawValue + (model.pinned ? ", pinned" : ""),
                "\(model.completeFiles)/\(model.files)",
                ByteCount.format(model.totalBytes), "\(model.presentPercent)%",
                model.bytesPerSecond > 0 ? ByteCount.format(Int64(model.bytesPerSecond)) + "/s" : "-",
                model.remainingSeconds.map { TimeText.seconds($0) } ?? "-", ByteCount.format(model.originBytes),
                ByteCount.format(model.peerBytes), ByteCount.format(model.copiedBytes ?? 0),
                ByteCount.format(model.servedBytes), "\(model.users)", model.source,
            ])
        }
        lines.append(table.text)
        for model in status.models {
            if let message = model.message { lines.append("\(model.title): \(message)") }
            for warning in model.warnings ?? [] { lines.append("\(model.title): warning: \(warning.line)") }
        }
        return lines.joined(separator: "\n")
    }
}
