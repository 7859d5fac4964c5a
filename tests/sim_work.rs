//! Simulated ASICs hash what real ones hashed: shares from public records, and targets to the last bit.

use hashgate::sim::miner::work::{JobWork, Target, Template};
use serde_json::{Value, json};
use std::sync::Arc;

/// Real shares, from mainnet 2012, testnet3 and signet.
#[test]
fn real_shares_hash_to_their_known_headers() {
    struct Real {
        notify: Value,
        extranonce1: &'static str,
        /// extranonce2, ntime, nonce, full version.
        submit: [&'static str; 4],
        hash: &'static str,
        difficulty: f64,
    }
    let slush = Real {
        notify: json!([
            "bf",
            "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008",
            "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",
            [],
            "00000002",
            "1c2ac4af",
            "504e86b9",
            false
        ]),
        extranonce1: "08000002",
        submit: ["00000001", "504e86ed", "b2957c02", "00000002"],
        hash: "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32",
        difficulty: 7.885_780_934_960_986,
    };
    let bitaxe = Real {
        notify: json!([
            "1",
            "171592f223740e92d223f6e68bff25279af7ac4f2246451e0000000200000000",
            "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1903c943255c7075626c69632d706f6f6c5c",
            "ffffffff037a90000000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc3b0f250000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc0000000000000000266a24aa21a9edbd3d1d916aa0b57326a2d88ebe1b68a1d7c48585f26d8335fe6a94b62755f64c00000000",
            [
                "175335649d5e8746982969ec88f52e85ac9917106fba5468e699c8879ab974a1",
                "d5644ab3e708c54cd68dc5aedc92b8d3037449687f92ec41ed6e37673d969d4a",
                "5c9ec187517edc0698556cca5ce27e54c96acb014770599ed9df4d4937fbf2b0"
            ],
            "20000000",
            "192495f8",
            "64b3f3ec",
            false
        ]),
        extranonce1: "57a6f098",
        submit: ["c7080000", "64b3f3ec", "ed460d91", "20002000"],
        hash: "000000000061d52983863e5c424c00d9e0981874fddf6a8493433e73928a3e4e",
        difficulty: 669.868_291_956_308_3,
    };
    let p2pool = Real {
        notify: json!([
            "6878b60200000001",
            "87f914a7745ea340051038babb56406514af8b63338ade65002bfbde00000000",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2d023c01000402b6786804209eec010c",
            "0a636b706f6f6c0a2f7032706f6f6c76322fffffffff030011102401000000160014274466e754a1c12d0a2d2cc34ceb70d8e017053a00e1f50500000000160014a248cf2f99f449511b22bab1a3d001719f84cd090000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf900000000",
            [],
            "20000000",
            "1e0377ae",
            "6878b602",
            true
        ]),
        extranonce1: "03b67868",
        submit: ["0000000000000000", "6878b602", "58f90070", "283ac000"],
        hash: "0000000000cdd305efb7cb9d86c7dc8eccf504a32fdf781ea053f87b6f5b3642",
        difficulty: 318.402_623_152_793_75,
    };
    for real in [slush, bitaxe, p2pool] {
        let template = Template::parse(&real.notify.to_string()).expect("a real notify");
        assert_eq!(template.made, None, "only a simulated pool stamps its jobs");
        let extranonce1 = hex::decode(real.extranonce1).expect("hex");
        let [extranonce2, ntime, nonce, version] = real.submit;
        let word = |hex| u32::from_str_radix(hex, 16).expect("a word");
        let work = JobWork::new(Arc::new(template), extranonce1.into());
        let prepared = work.prepare(&hex::decode(extranonce2).expect("hex"), word(version), word(ntime));
        let mut hash = prepared.hash(word(nonce));
        let target = |factor: f64| Target::from_difficulty(real.difficulty * factor).expect("a difficulty");
        assert!(target(0.999_999).is_met_by(&hash) && !target(1.000_001).is_met_by(&hash));
        hash.reverse();
        assert_eq!(hex::encode(hash), real.hash);
    }
}

#[test]
fn targets_are_exact() {
    let below = |target: Target, hex: &str| {
        let mut hash: [u8; 32] = hex::decode(hex).expect("hex").try_into().expect("32 bytes");
        hash.reverse();
        target.is_met_by(&hash)
    };
    let one = Target::from_difficulty(1.0).expect("a difficulty");
    assert!(below(one, &format!("00000000ffff{}", "00".repeat(26))));
    assert!(!below(one, &format!("00000000ffff{}01", "00".repeat(25))));
    let three = Target::from_difficulty(3.0).expect("a difficulty");
    assert!(below(three, &format!("000000005555{}", "00".repeat(26))));
    assert!(!below(three, &format!("000000005555{}01", "00".repeat(25))));
    assert_eq!(Target::from_difficulty(1e-10), Some(Target::MAX));
    assert_eq!(Target::from_difficulty(f64::MIN_POSITIVE / 4.0), Some(Target::MAX));
    for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Target::from_difficulty(nonsense), None);
    }
}
