import ArgumentParser
import CRD
import Foundation
import Kubernetes

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "How far ModelCaches are; of one, each node.",
        usage: "kubectl modelcache status [<name>] [<options>]",
        discussion: """
            On a terminal --watch draws a live bar for each node; elsewhere it prints a line for each change.

            Examples:
              kubectl modelcache status -A
              kubectl modelcache status gemma -n models --watch
              kubectl modelcache status gemma -o json
            """)

    enum Output: String, ExpressibleByArgument {
        case json
    }

    @Argument(help: "A ModelCache; without it, all of the namespace.")
    var name: String?

    @OptionGroup var connection: ConnectionOptions

    @Flag(name: [.customShort("A"), .long], help: "All namespaces.")
    var allNamespaces = false

    @Flag(name: [.customShort("w"), .long], help: "Go on showing changes until interrupted.")
    var watch = false

    @Option(name: [.customShort("o"), .long], help: "json: the objects, with --watch one a line.")
    var output: Output?

    func validate() throws {
        if allNamespaces, name != nil {
            throw ValidationError("a ModelCache is named within one namespace: leave -A or the name out")
        }
    }

    func run() async throws {
        try await connection.run { client, namespace in
            let following = Following(client: client, namespace: allNamespaces ? nil : namespace, name: name)
            var page = LivePage()
            var lastLines: [String] = []
            func show(_ models: [ModelCache]) {
                if output == .json {
                    for model in models { Terminal.write(Self.json(model, pretty: !watch) + "\n") }
                } else if !watch {
                    let lines = lines(models, width: Terminal.isInteractive ? Terminal.size.columns : nil, height: nil)
                    Terminal.write(lines.map { $0 + "\n" }.joined())
                } else if Terminal.isInteractive {
                    let size = Terminal.size
                    page.draw(lines(models, width: size.columns, height: size.rows - 1))
                } else {
                    let lines = models.map(StatusText.line)
                    for line in lines where !lastLines.contains(line) { Terminal.write(line + "\n") }
                    lastLines = lines
                }
            }
            if watch {
                try await following.run(show)
                Terminal.complain("\(name ?? "it") is gone")
            } else {
                let models = try await following.now().models
                if models.isEmpty, output == nil {
                    Terminal.complain(allNamespaces ? "no ModelCaches" : "no ModelCaches in the namespace \(namespace)")
                } else if output == .json, name == nil {
                    Terminal.write(Self.list(models) + "\n")
                } else {
                    show(models)
                }
            }
        }
    }

    private func lines(_ models: [ModelCache], width: Int?, height: Int?) -> [String] {
        if name != nil, let model = models.first { return StatusText.page(model, width: width, height: height) }
        let lines = StatusText.table(models, now: Date().timeIntervalSince1970, withNamespace: allNamespaces)
        return Array(lines.prefix(height ?? .max))
    }

    private static func json(_ value: some Encodable, pretty: Bool) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    private struct List: Encodable {
        let apiVersion = "v1"
        let kind = "List"
        let items: [ModelCache]
    }

    private static func list(_ models: [ModelCache]) -> String { json(List(items: models), pretty: true) }
}
