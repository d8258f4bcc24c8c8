import Swarm
import Testing

@Suite struct PeerTrustTests {
    private let key = SwarmKey(secret: Array("a-secret-of-the-test-0123456789".utf8))
    private let other = SwarmKey(secret: Array("another-of-the-test-0123456789".utf8))
    private let now: Int64 = 1_790_000_000

    private func model(_ number: UInt8, of cache: String = "a cache") -> SwarmIdentity {
        SwarmIdentity(generation: Array(repeating: number, count: 16), model: cache)
    }

    @Test func `a model's name depends on the secret, the generation and the cache`() {
        let id = key.modelID(model(3))
        #expect(id.utf8.count == 32)
        #expect(id == key.modelID(model(3)))
        #expect(id != key.modelID(model(4)))
        #expect(id != key.modelID(model(3, of: "another cache")))
        #expect(id != other.modelID(model(3)))
    }

    @Test func `a token is good for its model and its time alone`() {
        let id = key.modelID(model(1))
        let token = key.authorization(modelID: id, now: now)
        #expect(key.accepts(authorization: token, modelID: id, now: now))
        #expect(key.accepts(authorization: token, modelID: id, now: now + 290))
        #expect(key.accepts(authorization: token, modelID: id, now: now - 290))
        #expect(!key.accepts(authorization: token, modelID: id, now: now + 700))
        #expect(!key.accepts(authorization: token, modelID: key.modelID(model(2)), now: now))
        #expect(!other.accepts(authorization: token, modelID: id, now: now))
    }

    @Test(arguments: ["", "Bearer", "Bearer ", "Bearer 1", "Bearer .", "Bearer 1.", "Basic 1.00", "Bearer 9223372036854775807.00000000000000000000000000000000"])
    func `no other text is a token`(text: String) {
        #expect(!key.accepts(authorization: text, modelID: key.modelID(model(1)), now: now))
    }

    @Test func `no secret is shown`() {
        #expect("\(key)" == "SwarmKey")
        var text = ""
        dump(key, to: &text)
        #expect(!text.contains("97"))
    }
}

@Suite struct PeerDigestTests {
    @Test func `bytes with the asserted digest are right, whoever asserted it`() {
        var book = DigestBook()
        #expect(book.judge(1, digest: 7, from: 3, announced: true) == .unknown)
        book.asserted(1, digest: 7, by: 2)
        #expect(book.judge(1, digest: 7, from: 3, announced: true) == .right)
        #expect(book.judge(1, digest: 7, from: 4, announced: false) == .right)
    }

    @Test func `bytes that differ from what their own sender announced are the sender's fault`() {
        var book = DigestBook()
        book.asserted(1, digest: 7, by: 2)
        #expect(book.judge(1, digest: 8, from: 2, announced: true) == .corrupt)
        book.asserted(1, digest: 7, by: 3)
        #expect(book.judge(1, digest: 8, from: 3, announced: true) == .corrupt)
    }

    @Test func `a relayed block that is wrong is not held against who passed it on`() {
        var book = DigestBook()
        book.asserted(1, digest: 7, by: 2)
        #expect(book.judge(1, digest: 8, from: 3, announced: false) == .broken)
    }

    @Test func `two peers that contradict each other go before the store, and the liar's words are void`() {
        var book = DigestBook()
        for block in 0..<3 { book.asserted(block, digest: 66, by: 9) }
        book.asserted(0, digest: 7, by: 2)
        book.asserted(1, digest: 7, by: 2)
        #expect(book.judge(0, digest: 7, from: 2, announced: true) == .disputed)
        #expect(book.needsStore(0))
        #expect(book.settled(0, digest: 7) == [9])
        #expect(!book.needsStore(0))
        #expect(book.sentWrongBytes(9))
        // What the honest one said of another block stands now; of a third nobody has said anything.
        #expect(book.judge(1, digest: 7, from: 2, announced: true) == .right)
        #expect(book.judge(2, digest: 66, from: 9, announced: true) == .unknown)
        book.asserted(2, digest: 66, by: 9)
        #expect(book.judge(2, digest: 66, from: 9, announced: true) == .unknown)
    }

    @Test func `who agrees with the store is not blamed`() {
        var book = DigestBook()
        book.asserted(0, digest: 7, by: 2)
        #expect(book.settled(0, digest: 7) == [])
        #expect(book.judge(0, digest: 7, from: 5, announced: false) == .right)
    }
}
