extension KubernetesClient {
    /// Creates an object in the namespace that its metadata names.
    /// - Throws: ``KubernetesError`` with ``KubernetesError/isAlreadyExists`` when the name is taken.
    @discardableResult
    public func create<Resource: KubernetesResource>(
        _ object: Resource, _ options: WriteOptions = WriteOptions()
    ) async throws -> Resource {
        try await create(object, answer: Resource.self, options)
    }

    /// As ``create(_:_:)``, but decodes the server's response, the complete object, as `Answer`.
    public func create<Resource: KubernetesResource, Answer: Decodable & Sendable>(
        _ object: Resource, answer: Answer.Type, _ options: WriteOptions = WriteOptions()
    ) async throws -> Answer {
        let namespace = object.objectKey.namespace
        var request = try APIRequest(
            .create, .POST, Resource.self, namespace: namespace.isEmpty ? nil : namespace)
        request.key = object.objectKey.name.isEmpty ? nil : object.objectKey
        request.apply(options)
        request.body = try request.encode(TypedObject(object))
        return try await transport.decoded(Answer.self, request)
    }

    /// Replaces an object, or its status. With a resource version, a Conflict says that another client wrote first.
    /// Fields that the type leaves out are lost (safe for Kubernetes' own status and for `coordination.k8s.io` Leases;
    /// prefer server-side apply otherwise).
    @discardableResult
    public func update<Resource: KubernetesResource>(
        _ object: Resource, subresource: Subresource? = nil, _ options: WriteOptions = WriteOptions()
    ) async throws -> Resource {
        var request = try APIRequest(.update, .PUT, Resource.self, key: object.objectKey, subresource: subresource)
        request.apply(options)
        request.body = try request.encode(TypedObject(object))
        return try await transport.decoded(Resource.self, request)
    }

    /// Server-side apply: gives the object the fields of `configuration` and creates it when absent. The server removes
    /// fields that this manager applied before and no longer names
    /// (https://kubernetes.io/docs/reference/using-api/server-side-apply/).
    ///
    /// - Parameters:
    ///   - configuration: any Codable value that encodes the fields to own, and no others. A ``KubernetesResource``
    ///     fits when it has no resource version, uid, times or (without `subresource`) status. The client adds missing
    ///     `apiVersion`, `kind`, `metadata.name` and namespace.
    ///   - force: takes over fields that other managers own, as a controller does for the fields that it must own.
    ///     Without it such a field is a Conflict, which names the fields and the managers.
    @discardableResult
    public func apply<Resource: KubernetesResource>(
        _ configuration: some Encodable & Sendable, as type: Resource.Type, _ key: ObjectKey,
        subresource: Subresource? = nil, fieldManager: String, force: Bool = true, dryRun: Bool = false
    ) async throws -> Resource {
        var request = try APIRequest(.apply, .PATCH, type, key: key, subresource: subresource)
        request.apply(WriteOptions(fieldManager: fieldManager, dryRun: dryRun))
        request.query.set("force", force ? "true" : nil)
        // JSON is YAML, and the server takes only this type for apply.
        request.contentType = "application/apply-patch+yaml"
        request.body = try request.encode(AppliedObject(configuration, type, key))
        return try await transport.decoded(Resource.self, request)
    }

    /// Server-side apply of a resource under its own name.
    @discardableResult
    public func apply<Resource: KubernetesResource>(
        _ object: Resource, subresource: Subresource? = nil, fieldManager: String, force: Bool = true,
        dryRun: Bool = false
    ) async throws -> Resource {
        try await apply(
            object, as: Resource.self, object.objectKey, subresource: subresource, fieldManager: fieldManager,
            force: force, dryRun: dryRun)
    }

    /// Changes part of an object, or of its status.
    @discardableResult
    public func patch<Resource: KubernetesResource>(
        _ type: Resource.Type, _ key: ObjectKey, _ patch: Patch, subresource: Subresource? = nil,
        _ options: WriteOptions = WriteOptions()
    ) async throws -> Resource {
        try await self.patch(type, key, patch, subresource: subresource, answer: Resource.self, options)
    }

    /// As ``patch(_:_:_:subresource:_:)``, but decodes the server's response, the complete object, as `Answer`.
    public func patch<Resource: KubernetesResource, Answer: Decodable & Sendable>(
        _ type: Resource.Type, _ key: ObjectKey, _ patch: Patch, subresource: Subresource? = nil, answer: Answer.Type,
        _ options: WriteOptions = WriteOptions()
    ) async throws -> Answer {
        var request = try APIRequest(.patch, .PATCH, type, key: key, subresource: subresource)
        request.apply(options)
        request.contentType = patch.contentType
        request.body = patch.body
        return try await transport.decoded(Answer.self, request)
    }

    /// Deletes an object.
    /// - Throws: ``KubernetesError``: ``KubernetesError/isNotFound`` when there is none, ``KubernetesError/isConflict``
    ///   when a precondition of `options` does not hold.
    @discardableResult
    public func delete<Resource: KubernetesResource>(
        _ type: Resource.Type, _ key: ObjectKey, _ options: DeleteOptions = DeleteOptions()
    ) async throws -> DeleteOutcome<Resource> {
        var request = try APIRequest(.delete, .DELETE, type, key: key)
        request.body = try request.encode(DeleteOptionsBody(options))
        return try await transport.decoded(DeleteAnswer<Resource>.self, request).outcome
    }

    /// Deletes all objects of a namespace that the selectors of `selecting` choose.
    public func deleteCollection<Resource: KubernetesResource>(
        _ type: Resource.Type, in namespace: String? = nil, selecting: ListOptions = ListOptions(),
        _ options: DeleteOptions = DeleteOptions()
    ) async throws {
        var request = try APIRequest(.deleteCollection, .DELETE, type, namespace: namespace)
        request.query.set("labelSelector", selecting.labelSelector)
        request.query.set("fieldSelector", selecting.fieldSelector)
        request.body = try request.encode(DeleteOptionsBody(options))
        _ = try await transport.bytes(request)
    }
}
