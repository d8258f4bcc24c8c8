import ChunkStore
import Foundation
import TestSupport
import Testing

@Suite struct FolderListingTests {
    @Test func `a folder that cannot be listed is told with the system's reason`() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        let file = scratch.path + "/file"
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(try FolderListing.names(in: scratch.path) == ["file"])
        for (path, reason) in [(file, ENOTDIR), (scratch.path + "/absent", ENOENT)] {
            #expect(throws: ChunkStoreError.io(operation: "list", path: path, errno: reason)) {
                try FolderListing.names(in: path)
            }
        }
    }
}
