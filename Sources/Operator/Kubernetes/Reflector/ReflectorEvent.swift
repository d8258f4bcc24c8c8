/// A change of a ``Store``, as its handlers see it.
public enum ReflectorEvent<Stored: Sendable>: Sendable {
    case added(ObjectKey, Stored)
    case modified(ObjectKey, old: Stored, new: Stored)
    /// The last known state. After a deletion while the watch was down, the state before that.
    case deleted(ObjectKey, Stored)

    public var key: ObjectKey {
        switch self {
        case .added(let key, _), .modified(let key, _, _), .deleted(let key, _): key
        }
    }
}
