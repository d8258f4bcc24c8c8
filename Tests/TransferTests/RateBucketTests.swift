import Testing
import Transfer

@Suite struct RateBucketTests {
    let start = ContinuousClock.now

    /// Bytes let through in `seconds` by a caller that asks every 10 ms.
    private func passed(_ bucket: inout RateBucket, chunk: UInt64, seconds: Double, from start: ContinuousClock.Instant) -> Double {
        var total: UInt64 = 0
        for step in 0...Int(seconds * 100) {
            while bucket.isOpen(now: start + .milliseconds(10 * step)), total < 1 << 40 {
                bucket.take(chunk)
                total += chunk
            }
        }
        return Double(total)
    }

    @Test(arguments: [1_000_000, 10_000_000, 1_000_000_000]) func theLongRunRateIsTheLimit(rate: Int64) {
        var bucket = RateBucket(bytesPerSecond: rate, now: start)
        let got = passed(&bucket, chunk: 4 << 20, seconds: 60, from: start)
        #expect(got <= Double(rate) * 60.5 + Double(4 << 20))
        #expect(got >= Double(rate) * 59 - Double(4 << 20))
    }

    @Test func aPauseGivesAShortBurstAtMost() {
        var bucket = RateBucket(bytesPerSecond: 1000, now: start)
        bucket.take(1000)
        let open1 = bucket.isOpen(now: start + .milliseconds(900))
        #expect(!open1)
        let open2 = bucket.isOpen(now: start + .seconds(3600))
        #expect(open2)
        bucket.take(501)
        let open3 = bucket.isOpen(now: start + .seconds(3600))
        #expect(!open3)
    }

    @Test func withoutALimitEverythingPassesAndAChangeActsAtOnce() {
        var bucket = RateBucket(bytesPerSecond: nil, now: start)
        bucket.take(1 << 50)
        let open4 = bucket.isOpen(now: start)
        #expect(open4)
        bucket.set(bytesPerSecond: 1, now: start)
        bucket.take(1 << 20)
        let open5 = bucket.isOpen(now: start + .seconds(5))
        #expect(!open5)
        bucket.set(bytesPerSecond: nil, now: start)
        let open6 = bucket.isOpen(now: start)
        #expect(open6)
    }
}
