import Agent
import ArgumentParser
import Foundation
import Glibc
import Models
import Sessions

struct DoctorVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what on this machine or in these settings would keep a model from streaming, and what to do.",
        usage: "modelcache doctor [<options>]",
        discussion: """
            Exit code 1 when something is bad; warnings alone give 0.

            EXAMPLES
              modelcache doctor
              modelcache doctor --source oss://models/qwen/ --json
            """)

    @OptionGroup var source: SourceOptions
    @OptionGroup var place: AgentLocationOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        do {
            let place = try place.location()
            let environment = source.environment()
            var findings = MachineChecks.all(root: place.root, environment: environment)
            if let client = try? AgentClient(path: place.socket) {
                findings.append(.good("agent", "answers at \(place.socket)"))
                // Only root and the agent's user may ask. For other users there is nothing to report.
                if case .status(let status)? = try? client.control(.status) { findings += Self.caches(status) }
            } else if CacheSocket.volume(of: place.socket) != nil {
                findings.append(
                    .bad(
                        "agent", "none answers at \(place.socket)",
                        "see that the modelcache-agent pod of this node runs and that the ModelCache's volume is mounted"
                    ))
            } else {
                findings.append(.good("agent", "none runs at \(place.socket); one is started when needed"))
            }
            findings += await StoreChecks.all(environment: environment)
            if json {
                try printJSON(findings)
            } else {
                let width = findings.map(\.subject.count).max() ?? 0
                for finding in findings {
                    let mark = finding.verdict == .good ? "ok  " : finding.verdict == .warning ? "warn" : "BAD "
                    let padding = String(repeating: " ", count: width - finding.subject.count)
                    print("\(mark)  \(finding.subject)\(padding)  \(finding.fact)")
                    if let remedy = finding.remedy {
                        print("      \(String(repeating: " ", count: width))  -> \(remedy)")
                    }
                }
            }
            if findings.contains(where: { $0.verdict == .bad }) { throw ExitCode(1) }
        } catch let code as ExitCode {
            throw code
        } catch {
            fail(error)
        }
    }

    /// One line for each ModelCache of this node.
    private static func caches(_ status: AgentStatus) -> [Finding] {
        status.models.compactMap { model -> Finding? in
            guard let namespace = model.namespace, let name = model.name else { return nil }
            let subject = "\(namespace)/\(name)"
            if model.phase == .failed {
                return .warning(
                    subject, "failed: \(model.message ?? "the fill ended early")",
                    "correct the cause; the next reader or warm-up tries again")
            }
            return .good(
                subject,
                "\(model.phase.rawValue), \(ByteCount.format(model.presentBytes)) of \(ByteCount.format(model.totalBytes)) in \(model.directory)"
            )
        }
    }
}
