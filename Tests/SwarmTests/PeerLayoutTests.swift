import Swarm
import Testing

@Suite struct PeerLayoutTests {
    private let layout = BlockLayout(fileSizes: [0, 10, 4097, 1 << 20], chunkBytes: 4096, blockBytes: 1024)

    @Test func `blocks of all files follow each other and an empty file has none`() {
        #expect(layout.fileStarts == [0, 0, 1, 6, 6 + 1024])
        #expect(layout.count == 1030)
        #expect(layout.place(of: 0) == BlockLayout.Place(file: 1, chunk: 0, blockOfChunk: 0, range: 0..<10))
        #expect(layout.place(of: 5) == BlockLayout.Place(file: 2, chunk: 1, blockOfChunk: 0, range: 4096..<4097))
        #expect(layout.place(of: 6) == BlockLayout.Place(file: 3, chunk: 0, blockOfChunk: 0, range: 0..<1024))
    }

    @Test func `every byte of every file lies in exactly one block`() {
        var covered = [UInt64](repeating: 0, count: layout.fileSizes.count)
        for block in 0..<layout.count {
            let place = layout.place(of: block)
            #expect(place.range.lowerBound == covered[place.file])
            covered[place.file] = place.range.upperBound
            #expect(layout.blocks(ofChunk: place.chunk, file: place.file).contains(block))
            #expect(layout.blocks(file: place.file, range: place.range) == block..<block + 1)
        }
        #expect(covered == layout.fileSizes)
    }

    @Test func `the order of reading has every block once, heads and tails of files first`() {
        let order = layout.readingOrder
        #expect(order.prefix(6) == [0, 1, 6, 5, 1029, 2])
        #expect(order.sorted() == (0..<1030).map { Int32($0) })
    }

    @Test(arguments: [0, 1, 250 << 20, 9 << 30, 664_000_000_000] as [UInt64])
    func `a chunk is a whole number of blocks at any size`(total: UInt64) {
        for chunk in [2 << 20, 4 << 20, 6 << 20, 16 << 20] as [UInt64] {
            #expect(chunk % BlockLayout.blockBytes(forTotal: total, chunkBytes: chunk) == 0)
        }
    }
}
