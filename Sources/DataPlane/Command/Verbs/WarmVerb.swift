import Agent
import ArgumentParser
import Foundation

struct WarmVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Bring a model into the cache ahead of its readers.",
        discussion: """
            Starts an agent when none runs, then waits until every file is whole and verified. Exit code 0: it is;
            1: it cannot be; 69: no agent or store answers; 78: a setting is wrong.

            EXAMPLES
              modelcache warm --source oss://models/qwen/
              modelcache warm --source oss://models/qwen/ --pin --json
            """)

    @OptionGroup var source: SourceOptions
    @OptionGroup var place: AgentLocationOptions

    @Flag(help: "Keep the model until `modelcache evict`, whether or not somebody uses it.")
    var pin = false

    @Flag(help: "Print progress as JSON lines on standard output.")
    var json = false

    func run() throws {
        do {
            let client = try AgentLauncher.connect(try place.location())
            let settings = source.environment().filter { SourceSettings.variables.contains($0.key) && !$0.value.isEmpty }
            let opened = try client.open(settings: settings)
            var line = ProgressLine()
            var isPinned = !pin
            while true {
                guard case .status(let status) = try client.control(.status),
                    let model = status.models.first(where: { $0.directory == opened.directory })
                else {
                    throw CommandFailure("the model was evicted while it was being warmed; try again")
                }
                if !isPinned {
                    if case .failed(let why) = try client.control(.pin(model: model.id, pinned: true)) {
                        throw CommandFailure(why)
                    }
                    isPinned = true
                }
                let isDone = model.phase != .filling
                if json {
                    let encoder = JSONEncoder()
                    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                    FileHandle.standardOutput.write(try encoder.encode(model) + Data("\n".utf8))
                } else {
                    line.show(model, done: isDone)
                }
                switch model.phase {
                case .complete:
                    if !json { print(model.directory) }
                    return
                case .failed:
                    throw CommandFailure(model.message ?? "the model cannot be completed")
                case .filling:
                    Thread.sleep(forTimeInterval: json ? 0.5 : 0.1)
                }
            }
        } catch {
            fail(error)
        }
    }
}
