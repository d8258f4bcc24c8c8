import TestSupport
import Testing
import Transfer

@Suite struct TakeUpTests {
    private func chunks(_ count: Int) -> [ChunkAddress] { (0..<count).map { ChunkAddress(file: $0 % 2, chunk: $0 / 2) } }

    @Test func `chunks that another node asks for are checked before the others, in the order of the requests`() {
        let all = chunks(8)
        var takeUp = TakeUp(all)
        let first = (takeUp.next(), takeUp.next())
        #expect(first.0 == all[0] && first.1 == nil, "one at a time")
        takeUp.want(all[6])
        takeUp.want(all[0])
        takeUp.want(all[5])
        takeUp.want(all[6])
        takeUp.want(ChunkAddress(file: 9, chunk: 9))
        var order: [ChunkAddress] = []
        var offered = [takeUp.ended(isRight: true)]
        while let chunk = takeUp.next() {
            order.append(chunk)
            offered.append(takeUp.ended(isRight: true))
        }
        #expect(offered == Array(repeating: true, count: 8))
        #expect(order == [6, 5, 1, 2, 3, 4, 7].map { all[$0] })
        #expect(all.allSatisfy { !takeUp.isPending($0) })
    }

    @Test(arguments: SeededRandom.seeds(50))
    func `each chunk is offered once or is lost once, and never both`(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let all = chunks(40)
        var takeUp = TakeUp(all)
        var offered: [ChunkAddress] = []
        var lost: [ChunkAddress] = []
        var current: ChunkAddress?
        /// Found wrong, and not told as lost yet.
        var wrong: [ChunkAddress] = []
        for _ in 0..<2000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0: takeUp.want(all[Int.random(in: 0..<40, using: &random)])
            case 1:
                let chunk = all[Int.random(in: 0..<40, using: &random)]
                if takeUp.lost(chunk) { lost.append(chunk) }
            case 2 where random.chance(1, of: 20): lost += takeUp.lost(file: Int.random(in: 0...1, using: &random))
            case 3: if let chunk = wrong.popLast(), takeUp.lost(chunk) { lost.append(chunk) }
            default:
                guard let chunk = current else {
                    current = takeUp.next()
                    #expect(current.map { takeUp.isPending($0) } ?? true, "seed \(seed)")
                    continue
                }
                let isRight = random.chance(9, of: 10)
                if takeUp.ended(isRight: isRight) { offered.append(chunk) } else if !isRight { wrong.append(chunk) }
                current = nil
            }
        }
        for chunk in wrong where takeUp.lost(chunk) { lost.append(chunk) }
        let left = takeUp.next()
        #expect(current == nil && left == nil, "seed \(seed)")
        #expect(Set(offered).count == offered.count && Set(lost).count == lost.count, "seed \(seed)")
        #expect(Set(offered).isDisjoint(with: lost) && Set(offered + lost) == Set(all), "seed \(seed)")
    }
}
