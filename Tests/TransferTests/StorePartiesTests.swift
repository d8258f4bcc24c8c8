import ObjectStore
import RangeTransfer
import Testing
import Transfer

/// A source of a named party that nobody reads.
private struct Named: RangeSource {
    let name: String
    let key: String

    init(_ name: String, key: String = "") {
        self.name = name
        self.key = key
    }

    func isSameParty(as other: any RangeSource) -> Bool { other.name == name }

    func get(
        _ range: ObjectRange, into sink: any RangeSink, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) -> any RunningTransfer { fatalError("nobody reads") }
}

@Suite struct StorePartiesTests {
    private let denied = StoreError(.accessDenied, detail: "no right", status: 403)
    private let expired = StoreError(.expiredToken, detail: "over", status: 403)

    private func name(_ parties: StoreParties) -> String? { parties.current?.source.name }
    private func number(_ parties: StoreParties) -> Int { parties.current?.number ?? 0 }

    @Test func `a newer caller takes nobody's place`() {
        var parties = StoreParties(Named("job"))
        parties.offer(Named("pod"))
        #expect(name(parties) == "job" && parties.count == 2)
    }

    @Test func `a newer source of the same party takes the place of the former, whose failures count for nothing`() throws {
        var parties = StoreParties(Named("job", key: "old"))
        let old = number(parties)
        parties.offer(Named("pod"))
        parties.offer(Named("job", key: "new"))
        #expect((parties.current?.source as? Named)?.key == "new" && parties.count == 2)
        let isRepeated = parties.refused(old, file: 0, expired)
        #expect(isRepeated && name(parties) == "job")
    }

    @Test func `keys that are refused give way for good, and the last ones stay`() {
        var parties = StoreParties(Named("job"))
        parties.offer(Named("older pod"))
        parties.offer(Named("newer pod"))
        let first = number(parties)
        let isRepeated = parties.refused(first, file: 0, expired)
        #expect(isRepeated && name(parties) == "newer pod" && parties.count == 2)
        // Sent with the same keys at the same time.
        let isRepeatedToo = parties.refused(first, file: 1, expired)
        #expect(isRepeatedToo && name(parties) == "newer pod")
        let isRepeatedThen = parties.refused(number(parties), file: 0, expired)
        #expect(isRepeatedThen && name(parties) == "older pod" && parties.count == 1)
        let isRepeatedAtLast = parties.refused(number(parties), file: 0, expired)
        #expect(!isRepeatedAtLast && name(parties) == "older pod", "nobody else is there")
    }

    @Test func `an object is asked for once as each party before its file fails, and others as whoever is in use`() {
        var parties = StoreParties(Named("job"))
        parties.offer(Named("pod"))
        let job = number(parties)
        let isRepeated = parties.refused(job, file: 0, denied)
        #expect(isRepeated && name(parties) == "pod")
        let pod = number(parties)
        let isRepeatedAtLast = parties.refused(pod, file: 0, denied)
        #expect(!isRepeatedAtLast, "both were refused")
        // Now the pod's right fails for what the Job may read.
        let other = parties.refused(pod, file: 1, denied)
        #expect(other && name(parties) == "job")
        // A request that was under way since before.
        let late = parties.refused(pod, file: 1, denied)
        #expect(late && name(parties) == "job")
    }

    @Test func `files of which each may be read as another party alone are asked for as that one`() {
        var parties = StoreParties(Named("job"))
        parties.offer(Named("pod"))
        let job = number(parties)
        let isRepeated = parties.refused(job, file: 0, denied)
        let pod = number(parties)
        let isRepeatedToo = parties.refused(pod, file: 1, denied)
        #expect(isRepeated && isRepeatedToo)
        // Whoever asks next, and in whatever order: neither is refused again.
        for _ in 0..<3 {
            #expect(parties.current(for: 0)?.number == pod && parties.current(for: 1)?.number == job)
        }
        // Sent at the same time as those that were refused.
        let late = parties.refused(job, file: 0, denied)
        #expect(late && parties.current(for: 0)?.number == pod && parties.current(for: 1)?.number == job)
        let isLast = !parties.refused(pod, file: 0, denied)
        #expect(isLast && parties.current(for: 0) != nil, "its failure says so, and nothing else")
    }

    @Test func `other failures are no party's fault`() {
        var parties = StoreParties(Named("job"))
        parties.offer(Named("pod"))
        let job = number(parties)
        for kind in [StoreError.Kind.unreadable, .noSuchKey, .server, .throttled, .objectChanged, .cancelled, .credentialsUnavailable] {
            let isRepeated = parties.refused(job, file: 0, StoreError(kind, detail: "no"))
            #expect(!isRepeated, "\(kind)")
        }
        #expect(name(parties) == "job")
    }

    @Test func `the one in use is kept, however many come`() {
        var parties = StoreParties(Named("job"))
        for number in 0..<100 { parties.offer(Named("pod \(number)")) }
        #expect(parties.count == StoreParties.most && name(parties) == "job")
        let isRepeated = parties.refused(number(parties), file: 0, expired)
        #expect(isRepeated && name(parties) == "pod 99")
    }

    @Test func `nobody is asked once all are forgotten`() {
        var parties = StoreParties(Named("job"))
        let job = number(parties)
        parties.forget()
        let isRepeated = parties.refused(job, file: 0, denied)
        #expect(!isRepeated && parties.current == nil)
    }
}
