import Agent
import ArgumentParser
import EngineBench
import Foundation
internal import TextCoding

struct EngineBenchVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine-bench",
        abstract: "Time one object from an HTTP server into the cache.",
        shouldDisplay: false)

    @Option(help: "http[s]://host:port/bucket/key; the server need not check signatures.")
    var url: String

    @Option(help: "An empty folder for the cache.")
    var directory: String

    @Option(help: "Ranged GETs in flight.")
    var connections = 4

    @Option(help: "Threads that receive.")
    var threads = 2

    @Option(help: "Staging bytes.")
    var inFlight = "64MiB"

    func run() async throws {
        do {
            guard let address = URL(string: url), let staged = ByteCount.parse(inFlight) else {
                throw SettingError(
                    field: "--url or --in-flight", value: nil, problem: "is malformed", remedy: "see --help")
            }
            let report = try await EngineBench.run(
                url: address, directory: directory, connections: connections, threads: threads, inFlightBytes: staged)
            print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self))
        } catch {
            fail(error)
        }
    }
}
