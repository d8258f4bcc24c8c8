public import ChunkStore

/// A complete file of another cache of this node, with the bytes of a file that is to be filled.
public struct Donor: Sendable {
    public let file: CachedFile
    /// Keeps the other cache for as long as the file is read.
    let loan: CacheLoan

    public init(_ file: CachedFile, loan: CacheLoan) {
        self.file = file
        self.loan = loan
    }
}
