import Testing

import ChunkStore

@Suite("The memory of a thread that reads")
struct ThreadBufferTests {
    @Test("A thread has the same memory again")
    func isKept() {
        let first = ThreadBuffer.withBytes { Int(bitPattern: $0.baseAddress) }
        let second = ThreadBuffer.withBytes { Int(bitPattern: $0.baseAddress) }
        #expect(first == second)
    }

    @Test("A use inside a use has memory of its own, of the same size")
    func nestedUseIsApart() {
        ThreadBuffer.withBytes { outer in
            outer[0] = 1
            ThreadBuffer.withBytes { inner in
                #expect(inner.count == outer.count)
                #expect(inner.baseAddress != outer.baseAddress)
                inner[0] = 2
            }
            #expect(outer[0] == 1)
        }
    }

    @Test("A use that ends with an error gives the memory back")
    func errorGivesBack() {
        struct Stopped: Error {}
        let kept = ThreadBuffer.withBytes { Int(bitPattern: $0.baseAddress) }
        #expect(throws: Stopped.self) { try ThreadBuffer.withBytes { _ in throw Stopped() } }
        #expect(ThreadBuffer.withBytes { Int(bitPattern: $0.baseAddress) } == kept)
    }
}
