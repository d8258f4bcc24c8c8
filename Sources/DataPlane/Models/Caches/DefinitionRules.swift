package import AgentAPI
package import ChunkStore
package import Foundation
internal import StoreHost
internal import ObjectStore
internal import TextCoding

/// Turns a request's body into a definition that may be acted on. Every refusal names the field.
package struct DefinitionRules: Sendable {
    /// For testbeds whose store is on this machine.
    package var allowsLoopbackEndpoints: Bool

    package init(allowsLoopbackEndpoints: Bool = false) { self.allowsLoopbackEndpoints = allowsLoopbackEndpoints }

    /// - Throws: ``AgentError`` of code `InvalidDefinition`.
    package func decode(_ body: Data) throws(AgentError) -> CacheDefinition {
        let definition: CacheDefinition
        do {
            definition = try JSONDecoder().decode(CacheDefinition.self, from: body)
        } catch let error as DecodingError {
            throw Self.explained(error)
        } catch {
            throw Self.invalid("the body", "is not valid JSON")
        }
        _ = try check(definition)
        return definition
    }

    /// Returns the identity of the source; two definitions with one identity and equal patterns are of one model.
    ///
    /// - Throws: ``AgentError`` of code `InvalidDefinition`.
    package func check(_ definition: CacheDefinition) throws(AgentError) -> SourceIdentity {
        for (field, text) in [("namespace", definition.namespace), ("name", definition.name)] {
            guard Self.isDNSName(text) else { throw Self.invalid(field, "is not a name as of RFC 1123") }
        }
        // A pebibyte: above any medium, and far from where sums overflow.
        guard (0...(1 << 50)).contains(definition.sizeBytes) else {
            throw Self.invalid("sizeBytes", "is not from 0 to \(Int64(1) << 50)")
        }
        guard (0...(10 * 31_536_000)).contains(definition.idleSeconds) else {
            throw Self.invalid("idleSeconds", "is not from 0 to ten years")
        }
        if let limit = definition.bandwidthLimit, limit < 1 { throw Self.invalid("bandwidthLimit", "is less than 1") }
        guard definition.source.include.count <= 1000 else {
            throw Self.invalid("source.include", "has more than 1000 patterns")
        }
        for pattern in definition.source.include {
            guard !pattern.isEmpty, pattern.utf8.count <= 1024,
                !pattern.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f })
            else {
                throw Self.invalid(
                    "source.include", "has an empty pattern, one of more than 1024 bytes or one with control characters"
                )
            }
        }
        if let callers = definition.callers { try check(callers) }
        if let role = definition.source.role {
            try check(role, uri: definition.source.uri)
            guard definition.source.needsKeys != true else {
                throw Self.invalid("source.needsKeys", "is set, and a source with a role is read without keys")
            }
        }
        do throws(SettingError) {
            let location = try ObjectLocation(parsing: definition.source.uri, field: "source.uri")
            let endpoint = try StoreEndpoint(
                parsing: try Self.endpointText(definition.source, location.scheme), for: location,
                addressing: try AddressingSetting(parsing: definition.source.addressing, field: "source.addressing"),
                field: "source.endpoint")
            // A store is asked for a bucket as <bucket>.<host>.
            let asked = "\(location.bucket).\(endpoint.host)"
            let host = StoreHost.kind(of: asked) == .metadata ? asked : endpoint.host
            if let problem = StoreHost.problem(with: host, allowsLoopback: allowsLoopbackEndpoints) {
                throw SettingError(
                    field: "source.endpoint", value: nil, problem: "\(problem), which a cache may not be filled from",
                    remedy: "name the store's own endpoint")
            }
            return SourceIdentity(endpoint: endpoint.canonical, bucket: location.bucket, prefix: location.prefix)
        } catch {
            throw AgentError(.invalidDefinition, "\(error)", remedy: "correct the ModelCache's source")
        }
    }

    private func check(_ role: SourceRole, uri: String) throws(AgentError) {
        guard (role.assumed == nil) == (role.node == true) else {
            throw Self.invalid("source.role", "has not exactly one of assumed and node")
        }
        guard let assumed = role.assumed else { return }
        guard Self.isDNSName(assumed.serviceAccount) else {
            throw Self.invalid("source.role.assumed.serviceAccount", "is not a name as of RFC 1123")
        }
        for (field, text) in [("roleARN", assumed.roleARN), ("providerARN", assumed.providerARN ?? "-")] {
            guard (1...2048).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
                throw Self.invalid("source.role.assumed.\(field)", "is no ARN")
            }
        }
        guard uri.lowercased().hasPrefix("s3:") == (assumed.providerARN == nil) else {
            throw Self.invalid("source.role.assumed.providerARN", "is what oss:// sources have, and they alone")
        }
        guard (900...43_200).contains(assumed.sessionSeconds ?? 900) else {
            throw Self.invalid("source.role.assumed.sessionSeconds", "is not from 900 to 43200")
        }
    }

    /// That the keys can be used is for the one who verifies: a set of keys that are all too new is no reason to lose
    /// the cache.
    private func check(_ callers: CallerPolicy) throws(AgentError) {
        guard callers.keys.utf8.count <= CallerPolicy.maximumKeysBytes else {
            throw Self.invalid("callers.keys", "has more than \(CallerPolicy.maximumKeysBytes) bytes")
        }
        for (field, text) in [("callers.issuer", callers.issuer), ("callers.audience", callers.audience)] {
            guard text.utf8.count <= CallerPolicy.maximumNameBytes,
                !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f })
            else {
                throw Self.invalid(field, "has more than \(CallerPolicy.maximumNameBytes) bytes, or control characters")
            }
        }
        guard !callers.hasKeys || !callers.issuer.isEmpty, !callers.audience.isEmpty else {
            throw Self.invalid("callers", "lacks issuer or audience")
        }
    }

    /// The endpoint as given, or the one that follows from the region.
    static func endpointText(_ source: CacheDefinition.Source, _ scheme: StoreScheme) throws(SettingError) -> String {
        if let endpoint = source.endpoint, !endpoint.isEmpty { return endpoint }
        let region = source.region ?? ""
        guard region.utf8.count <= 63,
            region.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d })
        else {
            throw SettingError(
                field: "source.region", value: nil, problem: "has other characters than a to z, 0 to 9 and -",
                remedy: "write it as cn-hangzhou")
        }
        switch scheme {
        case .oss:
            guard !region.isEmpty else {
                throw SettingError(
                    field: "source.endpoint", value: nil, problem: "is missing, and so is source.region",
                    remedy: "set one of them")
            }
            return "https://oss-\(region)-internal.aliyuncs.com"
        case .s3: return "https://s3.\(region.isEmpty ? "us-east-1" : region).amazonaws.com"
        }
    }

    private static func isDNSName(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x2e
            }
    }

    private static func invalid(_ field: String, _ problem: String) -> AgentError {
        AgentError(
            .invalidDefinition, "\(field) \(problem)",
            remedy: "correct the request; CacheDefinition says what it may be")
    }

    private static func explained(_ error: DecodingError) -> AgentError {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            let keys = context.codingPath + (last.map { [$0] } ?? [])
            return keys.isEmpty
                ? "the body" : keys.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): invalid(path(context, key), "is missing")
        case .valueNotFound(_, let context): invalid(path(context), "is null")
        case .typeMismatch(let type, let context): invalid(path(context), "is not of type \(type)")
        // A number that no field can hold is told without its path.
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            invalid(
                "the body",
                "is not valid JSON, or sizeBytes, idleSeconds or bandwidthLimit is no number that can be meant")
        case .dataCorrupted(let context): invalid(path(context), "has a value that is not known")
        @unknown default: invalid("the body", "cannot be understood")
        }
    }
}
