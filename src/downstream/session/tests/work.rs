//! What work a miner gets, when, and at which difficulty.

use super::*;

const SUBSCRIBE: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":[]}
    < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
"#;

#[test]
fn a_password_says_where_the_difficulty_starts_and_ends() {
    for (password, difficulty) in [
        ("x", "0.000000004"),
        ("d=2e-8", "0.00000002"),
        ("c=BTC,d=2e-8", "0.00000002"),
        ("diff=0.00000001;x", "0.00000001"),
        ("md=3e-8", "0.00000003"),
        ("d=1e-8,md=3e-8", "0.00000003"),
        ("d=5", "0.00000006"),
        ("d=nonsense", "0.000000004"),
    ] {
        let mut talk = Talk::new();
        talk.play(SUBSCRIBE);
        talk.play(&format!(
            r#"> {{"id":2,"method":"mining.authorize","params":["farm.1","{password}"]}}
               < {{"id":2,"result":true,"error":null}}
               < set_difficulty {difficulty}
               < notify 1 clean"#
        ));
    }
}

/// Password, then what was remembered, then the suggestion, then the user agent, then the listener.
#[test]
fn the_best_knowledge_of_a_miner_decides_its_start() {
    for (agent, suggested, remembered, password, difficulty) in [
        ("cpuminer/2.5.1", "2e-8", Some(1e-8), "d=3e-8", "0.00000003"),
        ("cpuminer/2.5.1", "2e-8", Some(1e-8), "x", "0.00000001"),
        ("cpuminer/2.5.1", "2e-8", None, "x", "0.00000002"),
        ("cpuminer/2.5.1", "0", None, "x", "0.00000006"),
        ("", "0", None, "x", "0.000000004"),
        ("", "2e-9", None, "x", "0.000000002"),
    ] {
        let mut talk = Talk::new();
        talk.remembered = remembered.and_then(Difficulty::new);
        talk.play(&format!(
            r#"> {{"id":1,"method":"mining.suggest_difficulty({suggested})","params":[]}}
               < {{"id":1,"result":true,"error":null}}
               > {{"id":2,"method":"mining.subscribe","params":["{agent}"]}}
               < {{"id":2,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}}
               > {{"id":3,"method":"mining.authorize","params":["farm.1","{password}"]}}
               < {{"id":3,"result":true,"error":null}}
               < set_difficulty {difficulty}
               < notify 1 clean"#
        ));
    }
}

#[test]
fn a_suggested_target_may_come_before_subscribe() {
    let mut talk = Talk::new();
    // 0xFFFF·2^208 / 2e-8 is a target of some 2^249.6.
    let target = difficulty(2e-8).target().to_be_bytes();
    talk.play(&format!(
        r#"> {{"id":0,"method":"mining.suggest_target","params":["{}"]}}
           < {{"id":0,"result":true,"error":null}}"#,
        hex::encode(target)
    ));
    talk.play(SUBSCRIBE);
    talk.play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":2,"result":true,"error":null}
        < set_difficulty 0.00000002
        < notify 1 clean
        "#,
    );
}

#[test]
fn senseless_suggestions_change_nothing() {
    for target in ["00".repeat(32), "ff".repeat(32), format!("{}01", "00".repeat(31))] {
        let mut talk = Talk::mining();
        talk.says(format!(r#"{{"id":5,"method":"mining.suggest_target","params":["{target}"]}}"#).as_bytes());
        let difficulty = talk.session.difficulty().expect("it mines").get();
        assert!(difficulty.is_finite() && difficulty > 0.0 && difficulty <= POOL, "{target}: {difficulty}");
    }
    let mut talk = Talk::mining();
    for value in ["0", "-1", "1e999", "NaN"] {
        talk.says(format!(r#"{{"id":5,"method":"mining.suggest_difficulty({value})","params":[]}}"#).as_bytes());
        assert_eq!(talk.session.difficulty(), Difficulty::new(EASY), "{value}");
    }
}

#[test]
fn a_suggestion_far_from_the_first_difficulty_is_worth_new_work_at_once() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.suggest_difficulty","params":[0.00000005]}
        < {"id":3,"result":true,"error":null}
        < set_difficulty 0.00000005
        < notify 2
        > {"id":4,"method":"mining.submit","params":["farm.1",{4e-9..4.9e-8 1}]}
        < {"id":4,"result":true,"error":null}
        > {"id":5,"method":"mining.submit","params":["farm.1",{4e-9..4.9e-8 2}]}
        < {"id":5,"result":null,"error":[23,"Low difficulty",null]}
        "#,
    );
}

#[test]
fn nerdminer_repeats_itself_without_effect() {
    let mut talk = Talk::mining();
    for _ in 0..20 {
        talk.play(
            r#"
            > {"id":4,"method":"mining.submit","params":["farm.1",{share 1}]}
            < {"id":4,"result":true,"error":null}
            > {"id":5,"method":"mining.suggest_difficulty","params":[0.00015]}
            < {"id":5,"result":true,"error":null}
            @ 2s
            "#,
        );
    }
    assert_eq!(talk.session.difficulty(), Difficulty::new(EASY));
}

#[test]
fn the_difficulty_comes_before_the_first_job_and_only_when_it_changes() {
    let mut talk = Talk::mining();
    talk.play(
        "
        ! A sends a job
        < notify 2
        ! A asks 3e-9
        ! A sends a job
        < set_difficulty 0.000000003
        < notify 3
        ! A sends a block
        < notify 4 clean
        ",
    );
}

#[test]
fn neither_a_harder_nor_an_easier_difficulty_costs_an_honest_share() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! A asks 3e-9
        ! A sends a job
        < set_difficulty 0.000000003
        < notify 2
        > {"id":3,"method":"mining.submit","params":["farm.1",{3.1e-9..3.9e-9 1}]}
        < {"id":3,"result":true,"error":null}
        > {"id":4,"method":"mining.submit","params":["farm.1",{3.1e-9..3.9e-9 2}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{1e-9..2.9e-9 1}]}
        < {"id":5,"result":null,"error":[23,"Low difficulty",null]}
        "#,
    );
    let credited: Vec<f64> =
        talk.judged.iter().filter_map(|verdict| verdict.ok()).map(|share| share.credited().get()).collect();
    assert_eq!(credited, [3e-9, 3e-9], "each at the difficulty it was judged by");

    let mut harder = Talk::mining();
    harder.play(
        r#"
        > {"id":3,"method":"mining.suggest_difficulty","params":[0.00000005]}
        < {"id":3,"result":true,"error":null}
        < set_difficulty 0.00000005
        < notify 2
        > {"id":4,"method":"mining.submit","params":["farm.1",{4.1e-9..4.9e-8 1}]}
        < {"id":4,"result":true,"error":null}
        "#,
    );
    let credited = harder.judged[0].expect("accepted").credited().get();
    assert_eq!(credited, EASY, "found at the old difficulty, worth the old difficulty");
}

#[test]
fn a_keep_alive_is_new_work() {
    let mut talk = Talk::mining();
    talk.play(
        "
        @ 44750ms
        @ 250ms
        < notify 2
        @ 30s
        ! A sends a job
        < notify 3
        @ 44750ms
        @ 250ms
        < notify 4
        ! A is lost
        @ 10m
        ! A resumes
        @ 250ms
        ! A sends a block
        < notify 5 clean
        ",
    );
}

#[test]
fn without_a_pool_the_miner_hears_nothing_until_one_is_there() {
    let mut talk = Talk::new();
    talk.route = None;
    talk.play(SUBSCRIBE);
    talk.play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":2,"result":true,"error":null}
        @ 10m
        > {"id":3,"method":"mining.submit","params":["farm.1","00000001","00000000","504e86b9","00000000"]}
        < {"id":3,"result":null,"error":[21,"Job not found",null]}
        ! B takes over
        < set_difficulty 0.000000004
        < notify 1 clean
        "#,
    );
}

#[test]
fn a_standby_pools_jobs_are_not_the_miners() {
    let mut talk = Talk::mining();
    talk.play(
        "
        ! B sends a job
        ! B sends a block
        ! A sends a job
        < notify 2
        ",
    );
}

#[test]
fn sixteen_jobs_are_remembered() {
    use crate::work::MAX_LIVE_JOBS;
    let mut talk = Talk::mining();
    for number in 2..=MAX_LIVE_JOBS {
        talk.play(&format!("! A sends a job\n< notify {number}"));
    }
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":true,"error":null}
        ! A sends a job
        < notify 17
        > {"id":4,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":4,"result":null,"error":[21,"Job not found",null]}
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 2}]}
        < {"id":5,"result":true,"error":null}
        "#,
    );
}

const ROLLS: &str = r#"
    > {"id":0,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}
    < {"id":0,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}
    > {"id":1,"method":"mining.subscribe","params":[]}
    < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
    > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
    < {"id":2,"result":true,"error":null}
    < set_difficulty 0.000000004
    < notify 1 clean
"#;

#[test]
fn a_roller_is_told_when_its_pool_narrows_the_mask() {
    let mut talk = Talk::new();
    talk.play(ROLLS);
    talk.play(
        r#"
        ! A grants 00ffe000
        ! A sends a job
        < set_version_mask 00ffe000
        < notify 2
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 2 bits=00002000}]}
        < {"id":3,"result":true,"error":null}
        > {"id":4,"method":"mining.submit","params":["farm.1",{share 2 bits=01000000}]}
        < {"id":4,"result":null,"error":[20,"Version bits outside mask",null]}
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 1 bits=01000000}]}
        < {"id":5,"result":true,"error":null}
        ! A sends a job
        < notify 3
        ! A grants 1fffe000
        ! A sends a job
        < set_version_mask 1fffe000
        < notify 4
        "#,
    );
}

#[test]
fn a_miner_that_asked_for_no_mask_is_told_of_none() {
    let mut talk = Talk::mining();
    talk.play(
        "
        ! A grants 00ffe000
        ! A sends a job
        < notify 2
        ",
    );
}

/// Their versions' bits inside the mask are cleared: whatever the dialect, rolled bits mean the same.
#[test]
fn bits_inside_the_mask_are_cleared_for_miners() {
    let mut talk = Talk::new();
    talk.side('A').notify.version = 0x3fff_e004;
    talk.make_job('A', true);
    talk.play(ROLLS);
    assert_eq!(talk.notifies[0].version, 0x2000_0004);
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1 bits=00002000}]}
        < {"id":3,"result":true,"error":null}
        * for A: share
        "#,
    );
    assert_eq!(talk.submitted[0].version(), 0x2000_2004, "what was hashed");
}

/// MiningRigRentals' S21 (datum_gateway#214).
#[test]
fn a_sixth_parameter_without_configure_is_taken_against_the_listeners_mask() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1 bits=1fffe000}]}
        < {"id":3,"result":true,"error":null}
        * for A: share
        > {"id":4,"method":"mining.submit","params":["farm.1",{share 1 bits=00001000}]}
        < {"id":4,"result":null,"error":[20,"Version bits outside mask",null]}
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 1 full=20002000}]}
        < {"id":5,"result":null,"error":[20,"Version bits outside mask",null]}
        "#,
    );
    assert_eq!(talk.submitted[0].version(), 0x3fff_e000);
}

#[test]
fn legacy_firmware_submits_the_full_version() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.multi_version","params":[4]}
        < {"id":3,"result":true,"error":null}
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1 full=20006000}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 1 full=20000000}]}
        < {"id":5,"result":true,"error":null}
        > {"id":6,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":6,"result":true,"error":null}
        > {"id":7,"method":"mining.submit","params":["farm.1",{share 1 full=60000000}]}
        < {"id":7,"result":null,"error":[20,"Version bits outside mask",null]}
        > {"id":8,"method":"mining.submit","params":["farm.1",{share 1 full=00002000}]}
        < {"id":8,"result":null,"error":[20,"Version bits outside mask",null]}
        "#,
    );
    assert_eq!(talk.submitted[0].version(), 0x2000_6000);
}

/// The new extranonce1 is 64, as the ids of the second lane begin with 100.
#[test]
fn a_new_layout_is_told_to_miners_that_understand_it() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.extranonce.subscribe","params":[]}
        < {"id":3,"result":true,"error":null}
        ! the pools leave 4
        < set_extranonce 64 3
        < notify 2 clean
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 2}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":5,"result":null,"error":[21,"Job not found",null]}
        "#,
    );
    assert_eq!(talk.submitted[0].extranonce2().len(), 4);
}

#[test]
fn a_new_layout_makes_the_others_reconnect() {
    let mut talk = Talk::mining();
    talk.play(
        "
        ! the pools leave 4
        < client.reconnect  0 1
        * close: relayout
        ",
    );
}

#[test]
fn a_minimum_difficulty_is_kept_in_any_order_of_the_handshake() {
    const MINIMUM: &str = r#"
        > {"id":2,"method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":2e-8}]}
        < {"id":2,"result":{"minimum-difficulty":true},"error":null}
    "#;
    for handshake in [[MINIMUM, SUBSCRIBE], [SUBSCRIBE, MINIMUM]] {
        let mut talk = Talk::new();
        handshake.iter().for_each(|step| talk.play(step));
        talk.play(
            r#"
            > {"id":3,"method":"mining.authorize","params":["farm.1","x"]}
            < {"id":3,"result":true,"error":null}
            < set_difficulty 0.00000002
            < notify 1 clean
            "#,
        );
    }
}
