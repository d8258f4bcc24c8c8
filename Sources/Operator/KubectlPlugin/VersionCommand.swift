import AgentAPI
import ArgumentParser

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "The release of this plugin, as --version.",
        usage: "kubectl modelcache version")

    func run() { Terminal.write(Release.version + "\n") }
}
