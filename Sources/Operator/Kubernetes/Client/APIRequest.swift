import FoundationEssentials
import NIOHTTP1
internal import TextCoding

/// One request as it will be sent, without credentials.
struct APIRequest: Sendable {
    var verb: Verb
    var method: HTTPMethod
    /// Absolute, percent-encoded.
    var path: String
    /// For messages and metrics, such as "jobs.batch/status".
    var resource: String
    var key: ObjectKey?
    var query = QueryItems()
    var contentType = "application/json"
    /// Media types of the response, as in the header.
    var accept = "application/json"
    /// For whom a proxy of the API server leads to.
    var extraHeader: (name: String, value: String)?
    var body: Data?

    init(verb: Verb, method: HTTPMethod, path: String, resource: String) {
        self.verb = verb
        self.method = method
        self.path = path
        self.resource = resource
    }

    /// A collection of resources. `namespace` nil: of all namespaces.
    init<Resource: KubernetesResource>(
        _ verb: Verb, _ method: HTTPMethod, _ type: Resource.Type, namespace: String? = nil
    ) throws {
        let base = type.group.isEmpty ? "/api/\(type.version)" : "/apis/\(type.group)/\(type.version)"
        self.init(verb: verb, method: method, path: base, resource: type.resourceName)
        switch (type.scope, namespace) {
        case (.namespaced, let namespace?):
            path += "/namespaces/\(try segment(namespace, "namespace"))"
        case (.cluster, let namespace?) where !namespace.isEmpty:
            throw error(.invalidRequest("\(type.kind) lives in no namespace, but \(namespace) was given"))
        default: break
        }
        if type.scope == .namespaced, namespace == nil, verb == .create {
            throw error(.invalidRequest("\(type.kind) needs a namespace"))
        }
        path += "/\(type.plural)"
    }

    /// One resource.
    init<Resource: KubernetesResource>(
        _ verb: Verb, _ method: HTTPMethod, _ type: Resource.Type, key: ObjectKey, subresource: Subresource? = nil
    ) throws {
        let namespaced = type.scope == .namespaced
        try self.init(verb, method, type, namespace: namespaced || !key.namespace.isEmpty ? key.namespace : nil)
        self.key = key
        path += "/\(try segment(key.name, "name"))"
        if let subresource {
            path += "/\(subresource.rawValue)"
            resource += "/\(subresource.rawValue)"
        }
    }

    /// Repeating it does no harm.
    var isRead: Bool { verb == .get || verb == .list || verb == .watch }

    mutating func apply(_ options: WriteOptions) {
        query.set("fieldManager", options.fieldManager)
        query.set("dryRun", options.dryRun ? "All" : nil)
    }

    func encode(_ value: some Encodable) throws -> Data {
        do {
            return try ResourceCoding.encode(value)
        } catch {
            throw self.error(.invalidRequest("the object cannot be encoded: \(ResourceCoding.explain(error))"))
        }
    }

    func error(_ cause: KubernetesError.Cause) -> KubernetesError {
        KubernetesError(cause, verb: verb, resource: resource, key: key)
    }

    /// A name as one segment of a path. The server's own rule (`ValidatePathSegmentName`) forbids ".", "..", "/" and
    /// "%", so no name can lead to another path.
    private func segment(_ name: String, _ what: String) throws -> String {
        guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), !name.contains("%") else {
            throw error(.invalidRequest("\"\(name)\" cannot be a \(what)"))
        }
        return PercentCoding.encode(name, keepingSlash: false)
    }
}

/// A query, in the order in which its items were set.
struct QueryItems: Sendable, Hashable {
    private(set) var text = ""

    /// Nil leaves the item out.
    mutating func set(_ name: String, _ value: String?) {
        guard let value else { return }
        text += (text.isEmpty ? "?" : "&") + name + "=" + PercentCoding.encode(value, keepingSlash: false)
    }
}
