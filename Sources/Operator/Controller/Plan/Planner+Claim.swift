extension Planner {
    /// A claim that no pod uses is gone sooner, and is made anew.
    private static let claimGrace: Duration = .seconds(10)

    /// Whether a pod that is made now would find no claim or no volume.
    ///
    /// The cluster keeps a deleted volume while its claim is there, and pods mount it meanwhile.
    var isVolumeGoing: Bool {
        if observed.claim?.isDeleting ?? false { return true }
        guard let volume = observed.volume, volume.isDeleting else { return false }
        guard let claim = observed.claim, !claim.isLost else { return true }
        return volume.claimUID != claim.uid
    }

    /// Somebody deletes the claim. The cluster keeps it until the last pod that uses it has ended, and starts no other
    /// pod with it; a person must end them.
    mutating func tellOfClaim() {
        guard let claim = observed.claim, claim.isDeleting else {
            memory.claimDeletion = nil
            return
        }
        let known = memory.claimDeletion.flatMap { $0.uid == claim.uid ? $0 : nil }
        let deletion = known ?? Memory.ClaimDeletion(uid: claim.uid, since: now)
        memory.claimDeletion = deletion
        let end = deletion.since + Self.claimGrace
        if end <= now { picture.claimHeld = claim.name } else { wake(at: end) }
    }
}
