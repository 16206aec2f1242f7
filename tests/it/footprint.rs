//! What training steps take of any machine, counted rather than timed: launches, bytes of arena, operations. A change is looked
//! at before it is accepted: more of any is a regression, whatever the clock says.

use std::fmt::Write;

use bespoke::{nn::flop, optimize::optimize, zoo};
use bespoke_lower::{Config, Isa, lower};

#[test]
fn steps_take_no_more_launches_memory_and_operations() {
    let models = [
        ("mlp", 128),
        ("lenet5", 64),
        ("resnet18", 0),
        ("lstm", 32),
        ("gpt", 0),
        ("autoencoder-contractive", 128),
    ];
    let mut table = "model, batch: launches and bytes of arena by machine, operations\n".to_owned();
    for (name, batch) in models {
        let architecture = zoo::find(name).expect("a model");
        // The largest are taken small.
        let usual = zoo::Options { batch, ..architecture.defaults };
        let options = if batch == 0 { architecture.small } else { usual };
        let model = architecture.model_with(&options).expect("it is well formed");
        let (graph, _) = optimize(&model.training, &Default::default()).expect("it is well formed");
        write!(table, "{name}, {}:", options.batch).expect("a string has room");
        // Made for a machine, not run on it.
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            let program = lower(&graph, Config { isa, ..Config::default() }).expect("it is well formed");
            write!(table, " {isa:?} {} {},", program.launches.len(), program.arena_bytes)
                .expect("a string has room");
        }
        writeln!(table, " {}", flop(&graph)).expect("a string has room");
    }
    insta::assert_snapshot!("footprint", table);
}
