/// The verb of a request, as Kubernetes' authorization rules name it.
public enum Verb: String, Sendable, Hashable {
    case get, list, watch, create, update, patch, apply, delete
    case deleteCollection = "deletecollection"
}

/// A part of an object with a path and permissions of its own.
public enum Subresource: String, Sendable, Hashable {
    case status
    case scale
}
