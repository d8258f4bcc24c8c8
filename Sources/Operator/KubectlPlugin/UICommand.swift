import AgentAPI
import ArgumentParser
import CRD
import Kubernetes
import StatusPage

struct UICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ui", abstract: "Serve a page that shows models, nodes, transfers and pods' starts, live.",
        usage: "kubectl modelcache ui [<options>]",
        discussion: """
            Prints the page's address on 127.0.0.1 and serves it until interrupted. The page is read-only, is for the \
            user who runs this and for root, and shows what the caller may read; a view without the right is named. \
            Nodes, transfers and the phases that agents see need the Role modelcache-reader of the system namespace.

            Examples:
              kubectl modelcache ui
              kubectl modelcache ui -A --port 8500
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(name: [.customShort("A"), .long], help: "All namespaces.")
    var allNamespaces = false

    @Option(help: "Where operator and agents run.")
    var systemNamespace = "modelcache-system"

    @Option(help: ArgumentHelp("Port on 127.0.0.1; 0: any that is free.", valueName: "port"))
    var port = 0

    func validate() throws {
        guard (0...65535).contains(port) else {
            throw ValidationError("--port \(port): is no port; write one from 1 to 65535, or 0 for any that is free")
        }
    }

    func run() async throws {
        try await connection.run { client, namespace in
            let reader = ClusterReader(
                client: client, namespace: allNamespaces ? nil : namespace, systemNamespace: systemNamespace)
            let subject = allNamespaces ? "all namespaces" : "namespace \(namespace)"
            let context = connection.context.map { ", context \($0)" } ?? ""
            let data = PageData(
                kind: .cluster, subject: subject + context, release: Release.version,
                pauseMilliseconds: 2000)
            let feed = PageFeed(data) { await reader.read() }
            try await PageServer(feed, port: port).run { address in Terminal.write(address + "\n") }
        }
    }
}
