import Checksum
import Testing
import TestSupport

@Suite struct ChecksumTests {
    static let forms = [MC_CRC_TABLE, MC_CRC_FOLD128, MC_CRC_FOLD512]

    /// One bit at a time, straight from the definition.
    func reference(_ polynomial: UInt64, _ crc: UInt64, _ bytes: some Sequence<UInt8>) -> UInt64 {
        var reg = ~crc
        for byte in bytes {
            reg ^= UInt64(byte)
            for _ in 0..<8 { reg = reg & 1 == 1 ? reg >> 1 ^ polynomial : reg >> 1 }
        }
        return ~reg
    }

    @Test func theCheckValuesOfTheCatalogueComeOut() {
        let digits = Array("123456789".utf8)
        #expect(mc_crc64(0, digits, 9) == 0x995D_C9BB_DF19_39FA)
        #expect(mc_crc64nvme(0, digits, 9) == 0xAE8B_1486_0A79_9888)
        #expect(mc_crc64(0, digits, 0) == 0)
    }

    @Test func `CRC-32 has the catalogue's values, whole and in pieces`() {
        let digits = Array("123456789".utf8)
        #expect(mc_crc32(0, digits, 9) == 0xCBF4_3926 && mc_crc32c(0, digits, 9) == 0xE306_9283)
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            let (head, tail) = (Array(bytes[..<cut]), Array(bytes[cut...]))
            #expect(mc_crc32c(mc_crc32c(0, head, head.count), tail, tail.count) == mc_crc32c(0, bytes, bytes.count))
            #expect(mc_crc32(mc_crc32(0, head, head.count), tail, tail.count) == mc_crc32(0, bytes, bytes.count))
        }
    }

    @Test func everyFormGivesWhatTheBitwiseReferenceGivesOnRandomSplits() {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let bytes = (0..<Int.random(in: 0...3000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            let cut = Int.random(in: 0...bytes.count, using: &random)
            for (polynomial, value) in [(MC_CRC_ECMA, UInt64(0xC96C_5795_D787_0F42)), (MC_CRC_NVME, 0x9A6C_9329_AC4B_C9B5)] {
                let expected = reference(value, 0, bytes)
                for form in Self.forms {
                    bytes.withUnsafeBytes { all in
                        let head = mc_crc64_by(form, polynomial, 0, all.baseAddress, cut)
                        let whole = mc_crc64_by(form, polynomial, head, all.baseAddress.map { $0 + cut }, bytes.count - cut)
                        #expect(whole == expected, "seed \(seed), form \(form), length \(bytes.count), cut \(cut)")
                    }
                }
            }
        }
    }

    @Test func combiningTwoPartsGivesTheCRCOfTheWhole() {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 0...5000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            let cut = Int.random(in: 0...bytes.count, using: &random)
            let (a, b) = (Array(bytes[..<cut]), Array(bytes[cut...]))
            let whole = mc_crc64_combine(mc_crc64(0, a, a.count), mc_crc64(0, b, b.count), UInt64(b.count))
            #expect(whole == mc_crc64(0, bytes, bytes.count), "seed \(seed)")
            let nvme = mc_crc64nvme_combine(mc_crc64nvme(0, a, a.count), mc_crc64nvme(0, b, b.count), UInt64(b.count))
            #expect(nvme == mc_crc64nvme(0, bytes, bytes.count), "seed \(seed)")
        }
    }

    @Test func theTableFormIsAlwaysThere() {
        #expect(mc_crc_form_available(MC_CRC_AUTO) && mc_crc_form_available(MC_CRC_TABLE))
    }
}
