internal import Kubernetes

extension Applier {
    /// Under a name that follows from ModelCache and node: one that is there already is what an earlier attempt made.
    func create(_ job: Job) async throws {
        do {
            enter(try await client.create(job, answer: JobOutline.self, WriteOptions(fieldManager: Names.fieldOwner)))
        } catch let error as KubernetesError where error.isAlreadyExists {
            guard let there = try await client.findJob(job.objectKey) else {
                return wakeOwner(job.metadata)
            }
            guard let view = JobView(there, now: .now), view.cacheUID == job.metadata.labels?[Names.uidLabel] else {
                throw WriteRefused(
                    message: "a Job named \(job.objectKey.name) is there that is not this ModelCache's; delete it")
            }
            enter(there)
            // An old one that is about to go: the next plan makes the new one.
            if there.metadata.deletionTimestamp != nil { wakeOwner(job.metadata) }
        } catch let error as KubernetesError {
            throw error.atCreation(of: "the warm-up Job")
        }
    }

    private func enter(_ job: JobOutline) {
        if let view = JobView(job, now: .now) { wake(world.set(view, isConfirmed: false)) }
    }

    private func wakeOwner(_ metadata: ObjectMeta) {
        if let uid = metadata.labels?[Names.uidLabel], let key = world.key(uid: uid) { wake([key]) }
    }

    /// Pods go with it. Another Job of that name is left alone.
    func delete(_ job: JobView) async throws {
        do {
            try await client.delete(
                JobOutline.self, ObjectKey(namespace: job.namespace, name: job.name),
                DeleteOptions(propagation: .background, uid: job.uid))
            world.markDeleting(job)
        } catch let error as KubernetesError where error.isNotFound {
            _ = world.removeJob(job)
        } catch let error as KubernetesError where error.isConflict {
            return
        }
    }

    func create(_ volume: CacheVolume) async throws {
        do {
            let claimUID = world.claim(namespace: volume.owner.namespace, cache: volume.owner.uid)?.uid
            let made = try await client.create(
                volume.volume(claimUID: claimUID), WriteOptions(fieldManager: Names.fieldOwner))
            if let view = VolumeView(made) { _ = world.set(view, isConfirmed: false) }
        } catch let error as KubernetesError where error.isAlreadyExists {
            let there = try await client.find(PersistentVolume.self, ObjectKey(name: volume.volumeName))
            if let view = there.flatMap({ VolumeView($0) }), view.cacheUID == volume.owner.uid {
                _ = world.set(view, isConfirmed: false)
            } else if there != nil {
                throw WriteRefused(
                    message: "a PersistentVolume named \(volume.volumeName) is there that is not this ModelCache's")
            }
        } catch let error as KubernetesError {
            throw error.atCreation(of: "the PersistentVolume")
        }
    }

    func createClaim(_ volume: CacheVolume) async throws {
        do {
            let made = try await client.create(volume.claim, WriteOptions(fieldManager: Names.fieldOwner))
            if let view = ClaimView(made) { _ = world.set(view, isConfirmed: false) }
        } catch let error as KubernetesError where error.isAlreadyExists {
            let key = ObjectKey(namespace: volume.owner.namespace, name: volume.claimName)
            let there = try await client.find(PersistentVolumeClaim.self, key)
            if let view = there.flatMap({ ClaimView($0) }), view.cacheUID == volume.owner.uid {
                _ = world.set(view, isConfirmed: false)
            } else if there != nil {
                throw WriteRefused(
                    message: "a PersistentVolumeClaim named \(volume.claimName) is there that is not this ModelCache's")
            }
        } catch let error as KubernetesError {
            throw error.atCreation(of: "the PersistentVolumeClaim")
        }
    }

    func delete(_ volume: VolumeView) async throws {
        do {
            try await client.delete(PersistentVolume.self, ObjectKey(name: volume.name), DeleteOptions(uid: volume.uid))
            world.markDeleting(volume)
        } catch let error as KubernetesError where error.isNotFound || error.isConflict {
            _ = world.removeVolume(volume)
        }
    }

    func delete(_ claim: ClaimView) async throws {
        do {
            try await client.delete(
                PersistentVolumeClaim.self, ObjectKey(namespace: claim.namespace, name: claim.name),
                DeleteOptions(uid: claim.uid))
            world.markDeleting(claim)
        } catch let error as KubernetesError where error.isNotFound || error.isConflict {
            _ = world.removeClaim(claim)
        }
    }
}
