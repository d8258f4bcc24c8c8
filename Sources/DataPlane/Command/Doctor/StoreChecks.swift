import Agent
import Foundation
internal import Models
import ObjectStore
internal import RangeTransfer
internal import TextCoding

/// Checks whether this machine can read the source with these settings.
enum StoreChecks {
    /// Which principal the store is asked as and until when, why it has no credentials, and which others were only
    /// named in part.
    private static func credentials(_ provider: CredentialsProvider) async -> [Finding] {
        var findings = provider.passedOver.map {
            Finding.warning("credentials", "\($0.party) was passed over: \($0.reason)", "set it, or unset the others")
        }
        do {
            let credentials = try await provider.ready()
            let until = credentials?.expiration.map {
                ", until \(Date(timeIntervalSince1970: Double($0)).ISO8601Format())"
            }
            let absent = credentials == nil && provider.principal.isRole ? ", which has none: anonymous" : ""
            findings.append(.good("credentials", "\(provider.principal)\(absent)\(until ?? "")"))
        } catch {
            findings.append(
                .bad(
                    "credentials", error.detail + (error.code.map { " (\($0))" } ?? ""),
                    error.remedy.isEmpty ? "try again, and check the network" : error.remedy))
        }
        return findings
    }

    static func all(environment: [String: String]) async -> [Finding] {
        var findings: [Finding] = []
        do {
            _ = try ConnectorConfig.load(environment: environment)
            let path = ConnectorConfig.path(environment: environment)
            findings.append(
                .good(
                    "configuration",
                    FileManager.default.fileExists(atPath: path)
                        ? path : "there is no \(path); settings come from flags and the environment"))
        } catch {
            findings.append(.bad("configuration", "\(error)", "correct it"))
        }
        guard !(environment["OSS_PATH"] ?? "").isEmpty else {
            return findings + [
                .warning("source", "neither --source nor OSS_PATH is given", "give one to have the store checked")
            ]
        }
        do {
            let settings = try SourceSettings(environment)
            var configuration = settings.configuration
            configuration.retry = RetryPolicy(maximumAttempts: 1)
            let proxies = try ProxySettings(environment: environment)
            let engine = try TransferEngine(
                TransferEngineConfiguration(
                    threads: 1, sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile,
                    authorityFolder: settings.authorityFolder, proxies: proxies, connectTimeout: .seconds(5)))
            defer { engine.shutDown() }
            findings.append(
                .good(
                    "source addresses",
                    settings.sourceAddresses.isEmpty
                        ? "the kernel chooses" : settings.sourceAddresses.joined(separator: ", ")))
            findings += await credentials(configuration.credentials)
            let endpoint = configuration.endpoint
            findings.append(
                .good(
                    "proxy",
                    proxies.proxy(for: endpoint.host, port: endpoint.port, isSecure: endpoint.transport == .https)
                        .map { "\($0), by \($0.field)" } ?? "none"))
            let client = StoreClient(configuration, engine: engine)
            let started = ContinuousClock.now
            do {
                let listing = try await client.catalog(include: settings.include)
                let milliseconds = started.duration(to: .now) / .milliseconds(1)
                let bytes = listing.objects.reduce(Int64(0)) { $0 + Int64(clamping: $1.size) }
                findings.append(
                    listing.objects.isEmpty
                        ? .bad(
                            "source", "no object under \(configuration.location)",
                            "check the prefix with `modelcache ls`")
                        : .good(
                            "source",
                            "\(listing.objects.count) objects, \(ByteCount.format(bytes)), listed in \(ByteCount.fixed(milliseconds, decimals: 0)) ms"
                        ))
            } catch {
                findings.append(
                    .bad(
                        "source", error.detail,
                        error.remedy.isEmpty ? "try again, and check network and endpoint" : error.remedy))
            }
            if let skew = client.clockSkew { findings.append(clock(skew)) }
        } catch {
            let message = "\(error)".dropLast("; \(error.remedy)".count)
            findings.append(.bad("settings", SettingNames.told(String(message)), error.remedy))
        }
        return findings
    }

    /// Both protocols refuse a request whose time differs by more than 15 minutes.
    private static func clock(_ skew: Duration) -> Finding {
        let seconds = Int(abs(skew / .seconds(1)))
        return seconds > 600
            ? .bad(
                "clock", "\(seconds) s off the store's",
                "set the clock (NTP); the store refuses signatures that are 15 minutes off")
            : .good("clock", "within \(seconds) s of the store's")
    }
}
