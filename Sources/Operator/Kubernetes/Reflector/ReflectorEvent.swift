/// A change of what a ``Store`` holds, as its handlers learn of it.
public enum ReflectorEvent<Stored: Sendable>: Sendable {
    case added(ObjectKey, Stored)
    case modified(ObjectKey, old: Stored, new: Stored)
    /// The last state known: of a deletion that happened while the watch was down, the one before that.
    case deleted(ObjectKey, Stored)

    public var key: ObjectKey {
        switch self {
        case .added(let key, _), .modified(let key, _, _), .deleted(let key, _): key
        }
    }
}
