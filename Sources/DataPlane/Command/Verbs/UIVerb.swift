import AgentAPI
import ArgumentParser
import Foundation
import Glibc
import Models
import NodePage
import Sessions
import StatusPage

struct UIVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ui",
        abstract: "Serve a page that shows this node's models, transfers and pods' starts, live.",
        usage: "modelcache ui [<options>]",
        discussion: """
            Prints the page's address and serves it until interrupted. The page is read-only, needs nothing from the \
            network, and is for the user who runs this and for root. From another machine, reach it through a tunnel \
            to the same port: ssh -L, or kubectl port-forward to the agent's pod.

            EXAMPLES
              modelcache ui
              modelcache ui --port 8500
            """)

    @OptionGroup var place: AgentLocationOptions

    @Option(help: ArgumentHelp("Port on 127.0.0.1; 0: any that is free.", valueName: "port"))
    var port = 0

    func validate() throws {
        guard (0...65535).contains(port) else {
            throw ValidationError("--port \(port): is no port; write one from 1 to 65535, or 0 for any that is free")
        }
    }

    func run() async throws {
        do {
            FirstProcess.endsAtOnce()
            let socket = try place.location().socket
            do {
                _ = try Self.look(at: socket)
            } catch let error as AgentUnreachable {
                // It may come. A missing right or a wrong place is told at once.
                FileHandle.standardError.write(Data("modelcache: the page waits for an agent: \(error)\n".utf8))
            }
            let feed = PageFeed(PageData(kind: .node, subject: "this node", release: Release.version)) {
                await withCheckedContinuation { done in
                    // The socket's calls block.
                    DispatchQueue.global().async {
                        do {
                            done.resume(returning: try Self.look(at: socket))
                        } catch {
                            done.resume(returning: PageReading(missing: "\(error)"))
                        }
                    }
                }
            }
            try await PageServer(feed, port: port).run { address in
                print(address)
                fflush(nil)
            }
        } catch {
            fail(error)
        }
    }

    private static func look(at socket: String) throws -> PageReading {
        let client = try AgentClient(path: socket)
        switch try client.control(.status) {
        case .status(let status): return NodePage.reading(status, starts: starts(client))
        case .failed(let why): throw CommandFailure(why)
        case .swarm, .starts, .evicted, .pinned: throw CommandFailure("the agent does not tell its status")
        }
    }

    /// Nil: an agent of an earlier release does not know the question.
    private static func starts(_ client: AgentClient) -> [String: [ReaderStart]]? {
        guard case .starts(let starts)? = try? client.control(.starts) else { return nil }
        return starts
    }
}
