import Agent
import ArgumentParser
import Foundation
import ObjectStore

struct ListVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "List the objects at the source.",
        discussion: """
            EXAMPLES
              modelcache ls --source oss://models/qwen/
              modelcache ls --source oss://models/ --json
            """)

    @OptionGroup var source: SourceOptions

    @Flag(help: "Print JSON lines.")
    var json = false

    private struct Row: Encodable {
        let key: String
        let size: UInt64
        let etag: String
        let lastModified: String?
    }

    func run() async throws {
        do {
            let settings = try SourceSettings(source.environment())
            var configuration = settings.configuration
            configuration.retry = RetryPolicy(maximumAttempts: 4, deadline: .seconds(15))
            let engine = try TransferEngine(
                TransferEngineConfiguration(
                    threads: 1, sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile))
            defer { engine.shutDown() }
            let listing = try await StoreClient(configuration, engine: engine).list()
            let location = configuration.location
            let rows = listing.objects.compactMap { object -> Row? in
                guard let key = location.relativeKey(object.key), settings.includes(key) else { return nil }
                let modified = object.lastModified.map { Date(timeIntervalSince1970: Double($0)).ISO8601Format() }
                return Row(key: key, size: object.size, etag: object.etag, lastModified: modified)
            }
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                for row in rows { print(String(decoding: try encoder.encode(row), as: UTF8.self)) }
            } else {
                var table = Table(["SIZE", "MODIFIED", "KEY"], rightAligned: [0])
                for row in rows { table.add([ByteCount.format(Int64(clamping: row.size)), row.lastModified ?? "-", row.key]) }
                print(table.text)
                let total = rows.reduce(Int64(0)) { $0 + Int64(clamping: $1.size) }
                print("\(rows.count) objects, \(ByteCount.format(total)) under \(location)")
            }
        } catch {
            fail(error)
        }
    }
}
