/// The objects whose deletion the server has accepted from this operator, by uid, until the watch tells of it.
///
/// A new list ends the wait for all objects of its kind, since it says how they are now: a restored etcd has objects
/// again, with their uids, that were deleted.
package struct AcceptedDeletions: Sendable {
    private var uids: Set<String> = []

    package init() {}

    /// The server accepted the deletion of an object that is known. Of one that is not, the watch has told already that
    /// it is gone.
    package mutating func accepted(_ uid: String, isKnown: Bool) {
        if isKnown { uids.insert(uid) }
    }

    package func contains(_ uid: String) -> Bool { uids.contains(uid) }

    /// The object is gone.
    package mutating func forget(_ uid: String) { uids.remove(uid) }

    /// A list tells how all objects are.
    package mutating func relisted() { uids = [] }
}

/// An object as the watch tells of it, as far as its deletion goes.
protocol DeletableView {
    var isDeleting: Bool { get set }
}

extension DeletableView {
    /// The same object, which is being deleted by the server's answer to us too.
    func deleting(_ isAccepted: Bool) -> Self {
        var view = self
        view.isDeleting = isDeleting || isAccepted
        return view
    }
}

extension JobView: DeletableView {}
extension ClaimView: DeletableView {}
extension VolumeView: DeletableView {}
