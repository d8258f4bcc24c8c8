internal import AgentAPI
internal import ChunkStore
internal import Foundation
internal import ObjectStore

/// The list at opening is a person's wait: it gives up sooner than a fill does.
private let openingRetry = RetryPolicy(
    maximumAttempts: 6, baseDelay: .milliseconds(200), maximumDelay: .seconds(3), deadline: .seconds(20))
private let concurrentHeads = 16
/// A million objects: far more than any model has, and few enough to be held in memory.
private let listingPages = 1000
/// For all pages together, should each come slowly.
private let listingDeadline: Duration = .seconds(600)
/// A reader opens two connections, a shell pipeline more: one listing serves those that follow at once.
private let proofLifetime: Duration = .seconds(2)

/// What a caller was shown by the store.
struct Listing: Sendable {
    let identity: SourceIdentity
    let location: ObjectLocation
    /// Without digests.
    let manifest: Manifest
    let client: StoreClient
}

/// Whose model is asked for.
enum OpenTarget: Equatable, Sendable {
    case standalone
    /// The cache of this uid.
    case cache(String)
}

/// The first half of opening: the caller proves itself at the store.
extension ModelRegistry {
    enum Proof {
        /// Proven by an earlier listing; retained.
        case held(OpenModel)
        case listed(Listing)
    }

    func prove(
        _ variables: [String: String], for target: OpenTarget, include patterns: [String]? = nil
    ) async throws(AgentFailure) -> Proof {
        let settings: SourceSettings
        let client: StoreClient
        do throws(SettingError) {
            settings = try SourceSettings(variables)
            var configuration = settings.configuration
            configuration.retry = openingRetry
            client = StoreClient(configuration, engine: try engine(for: settings, target))
        } catch {
            throw AgentFailure(.settings, "\(error)")
        }
        let identity = Self.identity(of: settings)
        if let model = held(target, identity), let time = proven[identity]?[settings.fingerprint],
            time.duration(to: .now) < proofLifetime, !model.cached.files.contains(where: { $0.state == .failed })
        {
            model.cached.retain()
            return .held(model)
        }
        let objects: [StoredObject]
        do throws(StoreError) {
            objects = try await client.list(maximumPages: listingPages, within: listingDeadline).objects
        } catch {
            if error.isRetryable, let model = held(target, identity), model.cached.files.allSatisfy({ $0.state == .complete }),
                proven[identity]?[settings.fingerprint] != nil
            {
                logger.warning("store unreachable, serving the complete cached copy", metadata: ["model": "\(model.cached.id)", "reason": "\(error)"])
                model.cached.retain()
                return .held(model)
            }
            throw Self.failure(error)
        }
        proven[identity, default: [:]][settings.fingerprint] = .now
        let location = settings.configuration.location
        let include = patterns ?? settings.include
        let files = objects.compactMap { object -> ManifestFile? in
            guard let key = location.relativeKey(object.key),
                include.isEmpty || include.contains(where: { ShellPattern.matches($0, key) })
            else { return nil }
            return ManifestFile(key: key, size: object.size, etag: object.etag, lastModified: object.lastModified)
        }
        guard !files.isEmpty else {
            let hint = include.isEmpty ? "" : " that matches \(include.joined(separator: ","))"
            throw AgentFailure(.notFound, "OSS_PATH: no object\(hint) under \(location); check the prefix, `modelcache ls` shows what is there")
        }
        return .listed(Listing(identity: identity, location: location, manifest: try manifest(identity, files, location.scheme), client: client))
    }

    private func held(_ target: OpenTarget, _ identity: SourceIdentity) -> OpenModel? {
        switch target {
        case .standalone: models[identity]
        case .cache(let uid): caches[uid]?.model
        }
    }

    /// The listed manifest with what HEAD says of each object's bytes.
    func withDigests(_ listing: Listing) async throws(AgentFailure) -> Manifest {
        let files = listing.manifest.files
        let prefix = listing.location.prefix
        let client = listing.client
        let described: [ManifestFile]
        do {
            described = try await withThrowingTaskGroup(of: (Int, ManifestFile).self) { group in
                var result = files
                var next = 0
                func submit() {
                    guard next < files.count else { return }
                    let index = next
                    next += 1
                    group.addTask {
                        var file = files[index]
                        let head = try await client.head(prefix + file.key)
                        guard head.etag == file.etag, head.size == file.size else {
                            throw AgentFailure(.internal, "\(file.key) was replaced at the store just now; start again")
                        }
                        file.checksums = ObjectChecksums(
                            crc64: head.crc64ECMA, crc64nvme: head.crc64NVME,
                            md5: head.md5.map { $0.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined() })
                        return (index, file)
                    }
                }
                for _ in 0..<concurrentHeads { submit() }
                while let (index, file) = try await group.next() {
                    result[index] = file
                    submit()
                }
                return result
            }
        } catch let error as StoreError {
            throw Self.failure(error)
        } catch let error as AgentFailure {
            throw error
        } catch {
            throw AgentFailure(.internal, "\(error)")
        }
        return try manifest(listing.identity, described, listing.location.scheme)
    }
}
