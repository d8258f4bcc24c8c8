import Agent
import ArgumentParser
import Foundation
internal import Models
import ObjectStore
internal import RangeTransfer

struct ListVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "List the objects at the source.",
        usage: "modelcache ls [<options>]",
        discussion: """
            EXAMPLES
              modelcache ls --source oss://models/qwen/
              modelcache ls --source oss://models/ --json
            """)

    @OptionGroup var source: SourceOptions

    @Flag(help: "Print JSON lines.")
    var json = false

    @Flag(help: "Print one JSON line with bytes, files and digest, or why there are none; for Jobs.")
    var summary = false

    private struct Row: Encodable {
        let key: String
        let size: UInt64
        let etag: String
        let lastModified: String?
    }

    func run() async throws {
        do {
            var environment = source.environment()
            let secret = try self.secret(environment)
            if let secret { environment.merge(secret.settings) { $1 } }
            let settings = try SourceSettings(environment)
            var configuration = settings.configuration
            configuration.retry = RetryPolicy(maximumAttempts: 4, deadline: .seconds(15))
            configuration.notice = { FileHandle.standardError.write(Data("modelcache: \($0)\n".utf8)) }
            let engine = try TransferEngine(
                TransferEngineConfiguration(
                    threads: 1, sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile,
                    authorityFolder: settings.authorityFolder, proxies: try ProxySettings(environment: environment)))
            defer { engine.shutDown() }
            let client = StoreClient(configuration, engine: engine)
            if summary { return await summarize(client, settings, secret) }
            let catalog = try await client.catalog(include: settings.include)
            let location = catalog.location
            for warning in [catalog.leftOutWarning, catalog.unreadableWarning].compactMap({ $0 }) {
                FileHandle.standardError.write(Data("modelcache: \(warning)\n".utf8))
            }
            let rows = catalog.objects.map { object -> Row in
                let modified = object.lastModified.map { Date(timeIntervalSince1970: Double($0)).ISO8601Format() }
                return Row(
                    key: catalog.relativeKey(object), size: object.size, etag: object.etag, lastModified: modified)
            }
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                for row in rows { print(String(decoding: try encoder.encode(row), as: UTF8.self)) }
            } else {
                var table = Table(["SIZE", "MODIFIED", "KEY"], rightAligned: [0])
                for row in rows {
                    table.add([ByteCount.format(Int64(clamping: row.size)), row.lastModified ?? "-", row.key])
                }
                print(table.text)
                let total = rows.reduce(Int64(0)) { $0 + Int64(clamping: $1.size) }
                print("\(rows.count) objects, \(ByteCount.format(total)) at \(location)")
            }
        } catch {
            fail(error)
        }
    }

    /// The keys of a Job's pod. A Secret that cannot be used is a listing's outcome too.
    private func secret(_ environment: [String: String]) throws(MountedSecret.Problem) -> MountedSecret? {
        do throws(MountedSecret.Problem) {
            return try MountedSecret.read(environment: environment)
        } catch {
            if summary { tell(SourceSummary(error)) }
            throw error
        }
    }

    /// As many pages and as long as the operator itself would list.
    private func summarize(_ client: StoreClient, _ settings: SourceSettings, _ secret: MountedSecret?) async {
        do throws(StoreError) {
            let catalog = try await client.catalog(include: settings.include, maximumPages: 200, within: .seconds(60))
            tell(SourceSummary(catalog, secret: secret))
        } catch {
            tell(SourceSummary(error))
            fail(error)
        }
    }

    private func tell(_ outcome: SourceSummary) {
        print(outcome.line)
        TerminationLog.write(outcome.line)
    }
}
