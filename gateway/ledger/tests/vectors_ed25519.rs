//! Our verdict on signatures against three sets of others: Wycheproof, CCTV and speccheck.
//!
//! They test the signature check alone; the admission of keys is stricter and is tested where it is.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test reads its vectors and says when they are not here"
)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use sundbro_ledger::signing::{KeyError, Signature, SigningKey, VerifyingKey, verify_strict};

fn vectors(name: &str) -> Option<Value> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !vectors.is_dir() {
        println!("SKIPPED: ../shared/vectors is not here");
        return None;
    }
    let text = fs::read_to_string(vectors.join("ed25519").join(name)).expect("vector file");
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hexadecimal")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether our strict check accepts; anything but 32 and 64 bytes is no key and no signature.
fn accepts(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match (key.try_into(), signature.try_into()) {
        (Ok(key), Ok(signature)) => verify_strict(key, message, signature).is_ok(),
        _ => false,
    }
}

#[test]
fn wycheproof_agrees_on_every_case() {
    let Some(file) = vectors("wycheproof-ed25519_test.json") else { return };
    let (mut accepted, mut refused) = (0, 0);
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["publicKey"]["pk"]);
        for case in list(&group["tests"]) {
            let verdict = accepts(&key, &bytes(&case["msg"]), &bytes(&case["sig"]));
            assert_eq!(verdict, case["result"] == "valid", "case {}", case["tcId"]);
            *(if verdict { &mut accepted } else { &mut refused }) += 1;
        }
    }
    assert_eq!((accepted, refused), (88, 63));
}

#[test]
fn signatures_are_those_of_rfc_8032() {
    // RFC 8032 §7.1, TEST 2.
    let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                     085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let seed: Vec<u8> = hex::decode(seed).expect("hexadecimal");
    let key = SigningKey::from_seed(&seed.try_into().expect("32 bytes"));
    assert_eq!(hex::encode(key.public().as_bytes()), public);
    assert_eq!(hex::encode(key.sign_note_text(&[0x72]).as_bytes()), signature);
}

#[test]
fn cctv_refuses_small_order_and_other_encodings_and_nothing_that_holds() {
    let Some(file) = vectors("cctv-ed25519vectors.json") else { return };
    let (mut accepted, mut refused) = (0, 0);
    for case in list(&file) {
        let (key, signature) = (bytes(&case["key"]), bytes(&case["sig"]));
        let message = case["msg"].as_str().expect("text").as_bytes();
        let has = |flag: &str| list(&case["flags"]).iter().any(|it| it == flag);
        // `low_order_residue`: the equation holds only when it is multiplied by the cofactor.
        let reasons = [
            "low_order_A",
            "low_order_R",
            "non_canonical_A",
            "non_canonical_R",
            "low_order_residue",
        ];
        let holds = !reasons.into_iter().any(has);
        let verdict = accepts(&key, message, &signature);
        assert_eq!(verdict, holds, "case {}: {}", case["number"], case["flags"]);
        *(if verdict { &mut accepted } else { &mut refused }) += 1;
    }
    assert_eq!((accepted, refused), (43, 871));
}

#[test]
fn speccheck_accepts_what_is_strict_and_no_more() {
    let Some(file) = vectors("speccheck-cases.json") else { return };
    let verdicts: Vec<bool> = list(&file)
        .iter()
        .map(|case| {
            let message = bytes(&case["message"]);
            accepts(&bytes(&case["pub_key"]), &message, &bytes(&case["signature"]))
        })
        .collect();
    // 3: mixed-order key and R, the equation holds without cofactor. 0 to 2: small order. 4, 5: only with cofactor.
    // 6, 7: S is not reduced. 8 to 11: R or key not in its canonical encoding.
    let expected: Vec<bool> = (0..12).map(|case| case == 3).collect();
    assert_eq!(verdicts, expected);
}

#[test]
fn no_key_with_a_torsion_component_is_admitted() {
    let Some(file) = vectors("cctv-ed25519vectors.json") else { return };
    let mut kinds = [0; 4];
    for case in list(&file) {
        let flags = list(&case["flags"]);
        let torsion = flags.iter().any(|it| it == "low_order_A" || it == "low_order_component_A");
        let admitted = VerifyingKey::try_from(&bytes(&case["key"])[..]);
        let kind = match admitted {
            Ok(key) => {
                let signature = Signature::try_from(&bytes(&case["sig"])[..]).expect("64 bytes");
                let message = case["msg"].as_str().expect("text").as_bytes();
                let by_key = key.verify_note_text(message, &signature).is_ok();
                assert_eq!(by_key, accepts(key.as_bytes(), message, signature.as_bytes()));
                0
            }
            Err(KeyError::SmallOrder) => 1,
            Err(KeyError::NotCanonical) => 2,
            Err(KeyError::Torsion) => 3,
            Err(other) => panic!("case {}: {other}", case["number"]),
        };
        assert_eq!(kind != 0, torsion, "case {}: {}", case["number"], case["flags"]);
        kinds[kind] += 1;
    }
    assert_eq!(kinds.iter().sum::<i32>(), 914);
    assert!(kinds.iter().all(|&kind| kind > 0), "{kinds:?}");
}
