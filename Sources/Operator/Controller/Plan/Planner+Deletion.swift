extension Planner {
    /// How long a deletion waits for an agent that does not answer on a node that is well.
    static let deletionGrace: Duration = .seconds(30)
    /// How often an agent whose cache is in use is asked again.
    private static let askInterval: Duration = .seconds(2)

    /// Jobs first, so that nothing fills anew; then every copy; then claim and volume; the finalizer last. What an agent that was
    /// skipped still holds is dropped when it answers again (see ``OrphanSweep``).
    mutating func planDeletion() {
        guard let deletedAt = observed.deletedAt else { return }
        picture.facts = observed.recorded.source
        picture.sourceHash = observed.recorded.sourceHash
        picture.source = picture.facts == nil ? .resolving : .resolved
        for job in observed.jobs.sorted(by: { $0.name < $1.name }) where !job.isDeleting { actions.append(.deleteJob(job)) }

        var inUse: [Picture.User] = []
        var silent: [String] = []
        var holding = 0
        for (name, agent) in observed.agents.sorted(by: { $0.key < $1.key }) {
            switch agent.reach {
            case .reachable:
                guard let report = observed.reports[name] else { continue }
                holding += 1
                if report.users > 0 { inUse.append(Picture.User(node: name, users: report.users)) }
                if let asked = memory.evictionAsked[name], now - asked < Self.askInterval {
                    wake(at: asked + Self.askInterval)
                } else {
                    memory.evictionAsked[name] = now
                    wake(at: now + Self.askInterval)
                    actions.append(.evict(node: name))
                }
            case .unknown(let since), .unreachable(let since, _):
                guard observed.nodes[name]?.isReady ?? false else { continue }
                // Its last word was that it has none, and it was asked for none since.
                if agent.reportedAt != nil, observed.reports[name] == nil { continue }
                let end = max(since, deletedAt) + Self.deletionGrace
                guard now < end else { continue }
                silent.append(name)
                wake(at: end)
            }
        }
        if !inUse.isEmpty {
            picture.ending = .inUse(inUse)
        } else {
            picture.ending = .evicting(waiting: silent)
        }
        guard holding == 0, silent.isEmpty else { return }
        if let claim = observed.claim, !claim.isDeleting { actions.append(.deleteClaim(claim)) }
        if let volume = observed.volume, !volume.isDeleting { actions.append(.deleteVolume(volume)) }
        actions.append(.removeFinalizer)
    }
}
