extension KubernetesClient {
    /// Reads one object.
    /// - Throws: ``KubernetesError`` with ``KubernetesError/isNotFound`` when there is none.
    public func get<Resource: KubernetesResource>(
        _ type: Resource.Type, _ key: ObjectKey, subresource: Subresource? = nil, resourceVersion: String? = nil
    ) async throws -> Resource {
        var request = try APIRequest(.get, .GET, type, key: key, subresource: subresource)
        request.query.set("resourceVersion", resourceVersion)
        return try await transport.decoded(Resource.self, request)
    }

    /// Reads one object; nil when there is none.
    public func find<Resource: KubernetesResource>(
        _ type: Resource.Type, _ key: ObjectKey
    ) async throws -> Resource? {
        do {
            return try await get(type, key)
        } catch let error as KubernetesError where error.isNotFound {
            return nil
        }
    }

    /// Reads one page. `namespace` nil: all namespaces, or a resource of cluster scope.
    public func list<Resource: KubernetesResource>(
        _ type: Resource.Type, in namespace: String? = nil, _ options: ListOptions = ListOptions()
    ) async throws -> ResourceList<Resource> {
        var request = try APIRequest(.list, .GET, type, namespace: namespace)
        request.query.set("labelSelector", options.labelSelector)
        request.query.set("fieldSelector", options.fieldSelector)
        request.query.set("limit", options.limit.map(String.init))
        request.query.set("continue", options.continue)
        // A continue token contains its version, and the server refuses both together.
        if options.continue == nil {
            request.query.set("resourceVersion", options.resourceVersion)
            request.query.set("resourceVersionMatch", options.resourceVersionMatch)
        }
        return try await transport.decoded(ResourceList<Resource>.self, request)
    }

    /// Reads all objects, page by page, all at one resource version.
    ///
    /// When the version expires half way (410, etcd compacts every five minutes), the client begins again, so that the
    /// result always shows one moment.
    public func listAll<Resource: KubernetesResource>(
        _ type: Resource.Type, in namespace: String? = nil, _ options: ListOptions = ListOptions()
    ) async throws -> ResourceList<Resource> {
        let (items, resourceVersion) = try await listAll(type, in: namespace, options) { $0 }
        return ResourceList(metadata: ListMeta(resourceVersion: resourceVersion), items: items)
    }

    /// As ``listAll(_:in:_:)``, but keeps of each object only the result of `transform` (nil: nothing). Memory then
    /// holds at most one page of complete objects at a time.
    public func listAll<Resource: KubernetesResource, Kept: Sendable>(
        _ type: Resource.Type, in namespace: String? = nil, _ options: ListOptions = ListOptions(),
        transform: @Sendable (Resource) throws -> Kept?
    ) async throws -> (items: [Kept], resourceVersion: String) {
        let restarts = 3
        for restart in 0...restarts {
            var page = options
            page.limit = options.limit ?? self.options.pageSize
            page.continue = nil
            var kept: [Kept] = []
            do {
                while true {
                    let list = try await list(type, in: namespace, page)
                    for item in list.items {
                        if let value = try transform(item) { kept.append(value) }
                    }
                    guard let next = list.metadata.continue, !next.isEmpty else {
                        return (kept, list.metadata.resourceVersion ?? "")
                    }
                    page.continue = next
                }
            } catch let error as KubernetesError where error.isGone && page.continue != nil && restart < restarts {
                continue
            } catch let error as KubernetesError where error.isGone && page.continue != nil {
                // Compaction overtakes the pages, so the client asks for one large response.
                page = options
                page.limit = nil
                page.continue = nil
                let list = try await list(type, in: namespace, page)
                return (try list.items.compactMap(transform), list.metadata.resourceVersion ?? "")
            }
        }
        throw KubernetesError(
            .connection("the list expired again and again"), verb: .list, resource: Resource.resourceName)
    }

    /// Events after ``WatchOptions/resourceVersion``, until the server ends the watch. It ends every watch sooner or
    /// later: use a ``Reflector`` for a lasting view.
    ///
    /// Returns once the server has accepted. An ERROR event is an element, and nothing follows it.
    /// - Throws: ``KubernetesError`` here when the watch is refused (410: ``KubernetesError/isGone``), from the
    ///   iterator when the connection breaks or an event cannot be decoded.
    public func watch<Resource: KubernetesResource>(
        _ type: Resource.Type, in namespace: String? = nil, _ options: WatchOptions = WatchOptions()
    ) async throws -> WatchStream<Resource> {
        var request = try APIRequest(.watch, .GET, type, namespace: namespace)
        request.query.set("watch", "true")
        request.query.set("labelSelector", options.labelSelector)
        request.query.set("fieldSelector", options.fieldSelector)
        request.query.set("resourceVersion", options.resourceVersion)
        request.query.set("allowWatchBookmarks", options.allowBookmarks ? "true" : nil)
        request.query.set("timeoutSeconds", options.timeout.map { String(max(1, $0.components.seconds)) })
        let body = try await transport.stream(request)
        return WatchStream(body: body, lineLimit: self.options.maximumEventBytes, resource: request.resource)
    }

    /// The response to a GET of any path, for paths that are no resource: "/version", "/readyz", "/apis".
    /// - Parameters:
    ///   - path: absolute, already percent-encoded.
    ///   - accept: media types, for the few paths that respond with another one than JSON.
    public func raw(
        _ path: String, accept: String = "application/json", header: (name: String, value: String)? = nil
    ) async throws -> [UInt8] {
        var request = APIRequest(verb: .get, method: .GET, path: path, resource: path)
        request.accept = accept
        request.extraHeader = header
        return try await transport.bytes(request)
    }
}
