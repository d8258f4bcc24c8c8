extension StoreClient {
    /// Most objects of a listing that are looked at one by one because the listing does not say enough of them.
    private static let mostInspected = 512
    private static let concurrentInspections = 16

    /// Lists the source and says which files it has, which keys cannot be files, and which objects cannot be read.
    ///
    /// A location without a final slash is looked at both ways; the catalog's location says which it is. An object of
    /// no bytes beside a prefix of its name is a folder's mark, as some tools write it.
    ///
    /// Besides the listing it sends HEAD for links and archived objects, and one GET of a byte for an archived object
    /// that was not restored: a bucket may allow archives to be read at once.
    ///
    /// - Parameters:
    ///   - include: shell patterns on the key below the prefix; empty takes all.
    ///   - doubted: full keys of which the listing was found wrong before; HEAD is asked for them.
    /// - Throws: as ``list(maximumPages:within:)``; `settings` for a location that is object and prefix; `noSuchKey`
    ///   for one that is neither, or for a split model that lacks a part. An object that HEAD refuses is no error.
    public func catalog(
        include: [String], doubted: Set<String> = [], maximumPages: Int = StoreClient.maximumListPages,
        within deadline: Duration? = nil
    ) async throws(StoreError) -> SourceCatalog {
        let (listing, location) = try await listing(maximumPages: maximumPages, within: deadline)
        var catalog = SourceCatalog(listing, of: location, include: include)
        let places = catalog.objects.indices.filter { index in
            let object = catalog.objects[index]
            return object.isSymlink || object.isArchived || doubted.contains(object.key)
        }
        let found = await inspect(places.prefix(Self.mostInspected).map { catalog.objects[$0] })
        var gone: [(key: String, reason: String)] = []
        for (index, finding) in zip(places, found) {
            let object = catalog.objects[index]
            switch finding {
            case .readable(let head): catalog.replace(head.map { object.described(by: $0) } ?? object, at: index)
            case .unreadable(let message): catalog.note(unreadable: catalog.relativeKey(object), message)
            case .deleted: gone.append((object.key, "was deleted after it was listed"))
            }
        }
        catalog.leaveOut(gone)
        return catalog
    }

    private func listing(
        maximumPages: Int, within deadline: Duration?
    ) async throws(StoreError) -> (ObjectListing, ObjectLocation) {
        let location = configuration.location
        switch location.scope {
        case .objects: return (ObjectListing(objects: try await parts(of: location, known: nil)), location)
        case .prefix:
            let listing = try await list(maximumPages: maximumPages, within: deadline)
            if listing.objects.isEmpty { try await refuseObject(location) }
            return (listing, location)
        case .undecided:
            guard let key = location.objectKey else { preconditionFailure("a whole bucket is a prefix") }
            async let asked = found(key)
            let listed: Result<ObjectListing, StoreError>
            do throws(StoreError) {
                listed = .success(try await list(maximumPages: maximumPages, within: deadline))
            } catch { listed = .failure(error) }
            return try await decide(location, listed, await asked)
        }
    }

    private func found(_ key: String) async -> Result<ObjectHead, StoreError> {
        do throws(StoreError) { return .success(try await head(key)) } catch { return .failure(error) }
    }

    private func decide(
        _ location: ObjectLocation, _ listed: Result<ObjectListing, StoreError>, _ asked: Result<ObjectHead, StoreError>
    ) async throws(StoreError) -> (ObjectListing, ObjectLocation) {
        switch (listed, asked) {
        case (.success(let listing), .success(let head)) where !listing.objects.isEmpty:
            guard head.size > 0 else { return (listing, location.asPrefix) }
            throw StoreError(
                .settings,
                detail:
                    "\(location) is an object of \(head.size) bytes and a prefix of \(listing.objects.count) objects",
                remedy: "write \(location)/ for the prefix; for the object give one of the two another name")
        case (.success(let listing), _) where !listing.objects.isEmpty: return (listing, location.asPrefix)
        case (.success, .success(let head)): return try await object(location, head)
        // A key that may read one object and list nothing is enough for it.
        case (.failure(let error), .success(let head)) where error.kind == .accessDenied:
            return try await object(location, head)
        case (.success, .failure(let error)) where error.kind == .noSuchKey:
            throw StoreError(
                .noSuchKey, detail: "\(location) is neither an object nor a prefix with objects",
                remedy: "check bucket and path, `modelcache ls` shows what is above it", status: error.status,
                requestID: error.requestID)
        case (.success, .failure(let error)), (.failure(let error), _): throw error
        }
    }

    private func object(
        _ location: ObjectLocation, _ head: ObjectHead
    ) async throws(StoreError) -> (ObjectListing, ObjectLocation) {
        let location = location.asObject
        return (ObjectListing(objects: try await parts(of: location, known: head)), location)
    }

    /// The objects that the location names, as HEAD describes them.
    private func parts(of location: ObjectLocation, known: ObjectHead?) async throws(StoreError) -> [StoredObject] {
        guard case .objects(let names) = location.scope else { return [] }
        let heads = await concurrently(names) { name -> Result<ObjectHead, StoreError> in
            let key = location.prefix + name
            if let known, known.key == key { return .success(known) }
            return await self.found(key)
        }
        var objects: [StoredObject] = []
        for (name, result) in zip(names, heads) {
            switch result {
            case .success(let head):
                objects.append(
                    StoredObject(
                        key: head.key, size: head.size, etag: head.etag, lastModified: head.lastModified,
                        storageClass: head.storageClass))
            case .failure(let error) where error.kind == .noSuchKey && names.count > 1:
                throw StoreError(
                    .noSuchKey, detail: "\(location) is the first of \(names.count) parts, and \(name) is not there",
                    remedy: "upload it beside the others", status: error.status, requestID: error.requestID)
            case .failure(let error): throw error
            }
        }
        return objects
    }

    /// A prefix under which nothing lies may be the key of one object: the message says how that is named.
    private func refuseObject(_ location: ObjectLocation) async throws(StoreError) {
        guard let key = location.objectKey, let size = try? await head(key).size, size > 0 else { return }
        let text = location.description.dropLast()
        throw StoreError(
            .settings, detail: "\(location) is no prefix: \(text) is one object of \(size) bytes",
            remedy: "write \(text) without the slash at its end (OSS_PATH, spec.source.uri)")
    }

    private enum Finding: Sendable {
        case readable(ObjectHead?)
        case unreadable(String)
        case deleted
    }

    private func inspect(_ objects: [StoredObject]) async -> [Finding] {
        await concurrently(objects) { await self.inspect($0) }
    }

    /// The results in the order of the items.
    func concurrently<Item: Sendable, Value: Sendable>(
        _ items: [Item], _ body: @escaping @Sendable (Item) async -> Value
    ) async -> [Value] {
        await withTaskGroup(of: (Int, Value).self) { group in
            var values = [Value?](repeating: nil, count: items.count)
            var next = 0
            func submit() {
                guard next < items.count else { return }
                let index = next
                next += 1
                group.addTask { (index, await body(items[index])) }
            }
            for _ in 0..<Self.concurrentInspections { submit() }
            while let (index, value) = await group.next() {
                values[index] = value
                submit()
            }
            return values.compactMap { $0 }
        }
    }

    private func inspect(_ object: StoredObject) async -> Finding {
        do throws(StoreError) {
            let head = try await head(object.key)
            guard object.isArchived, head.restore != .restored, head.size > 0 else { return .readable(head) }
            do throws(StoreError) {
                try await probe(object.key)
                return .readable(head)
            } catch {
                guard error.kind == .unreadable, head.restore == .ongoing else { throw error }
                return .unreadable(
                    "\(object.key) is being restored from \(object.storageClass); wait until that is done")
            }
        } catch {
            // A link whose target is gone reads as a missing object.
            if error.kind == .noSuchKey { return object.isSymlink ? .unreadable(error.description) : .deleted }
            // A store that is away says nothing of the object: reading it will tell.
            return error.concernsObject ? .unreadable(error.description) : .readable(nil)
        }
    }
}
