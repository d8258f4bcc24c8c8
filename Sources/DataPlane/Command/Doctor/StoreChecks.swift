import Agent
import Foundation
import ObjectStore

/// Whether the source can be read from here, as these settings say.
enum StoreChecks {
    static func all(environment: [String: String]) async -> [Finding] {
        var findings: [Finding] = []
        do {
            _ = try ConnectorConfig.load(environment: environment)
            findings.append(.good("configuration", environment[ConnectorConfig.pathVariable] ?? ConnectorConfig.defaultPath))
        } catch {
            findings.append(.bad("configuration", "\(error)", "correct it"))
        }
        guard !(environment["OSS_PATH"] ?? "").isEmpty else {
            return findings + [.warning("source", "OSS_PATH is not set", "set it, or give --source, to have the store checked")]
        }
        do {
            let settings = try SourceSettings(environment)
            var configuration = settings.configuration
            configuration.retry = RetryPolicy(maximumAttempts: 1)
            let engine = try TransferEngine(
                TransferEngineConfiguration(
                    threads: 1, sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile,
                    connectTimeout: .seconds(5)))
            defer { engine.shutDown() }
            findings.append(.good("source addresses", settings.sourceAddresses.isEmpty ? "the kernel chooses" : settings.sourceAddresses.joined(separator: ", ")))
            let client = StoreClient(configuration, engine: engine)
            let started = ContinuousClock.now
            do {
                let listing = try await client.list()
                let milliseconds = started.duration(to: .now) / .milliseconds(1)
                let bytes = listing.objects.reduce(Int64(0)) { $0 + Int64(clamping: $1.size) }
                findings.append(
                    listing.objects.isEmpty
                        ? .bad("source", "no object under \(configuration.location)", "check the prefix with `modelcache ls`")
                        : .good("source", "\(listing.objects.count) objects, \(ByteCount.format(bytes)), listed in \(ByteCount.fixed(milliseconds, decimals: 0)) ms"))
            } catch {
                findings.append(.bad("source", error.detail, error.remedy.isEmpty ? "try again, and check network and endpoint" : error.remedy))
            }
            if let skew = client.clockSkew {
                let seconds = abs(skew / .seconds(1))
                // Both protocols refuse a request signed more than 15 minutes off.
                findings.append(
                    seconds > 600
                        ? .bad("clock", "\(Int(seconds)) s off the store's", "set the clock (NTP); the store refuses signatures that are 15 minutes off")
                        : .good("clock", "within \(Int(seconds)) s of the store's"))
            }
        } catch {
            findings.append(.bad("settings", "\(error)", "correct the setting"))
        }
        return findings
    }
}
