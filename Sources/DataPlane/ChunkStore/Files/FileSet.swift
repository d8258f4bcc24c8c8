/// A model's files at one time: a value that stands while the model goes on to another set.
public struct FileSet: Sendable {
    public let manifest: Manifest
    /// In the order of `manifest.files`.
    public let files: [CachedFile]
    private let positions: [UInt32: Int]

    init(manifest: Manifest, files: [CachedFile]) {
        precondition(
            files.count == manifest.files.count && zip(files, manifest.files).allSatisfy { $0.fileIndex == $1.index },
            "each file of the manifest in its place")
        self.manifest = manifest
        self.files = files
        positions = Dictionary(uniqueKeysWithValues: files.enumerated().map { ($1.fileIndex, $0) })
    }

    /// `mc_opened.set`.
    public var number: UInt64 { manifest.set }

    /// Where a file that readers name by its `mc_presence_header.file_index` stands; nil: it is not of this set.
    public func position(ofFileIndex index: UInt32) -> Int? { positions[index] }
}
