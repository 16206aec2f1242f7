//! The text of every stage of the small models. A changed snapshot is looked at before it is accepted.

use bespoke::{
    compiler::{Artifact, Config, clear_cache, compile},
    graph::Graph,
    inspect, optimize, zoo,
};

/// The texts of the stages of a model's training step, in order.
fn stages(name: &str, batch: usize) -> Vec<(&'static str, String)> {
    let model = zoo::find(name).expect("a model").model(batch).expect("it is well formed");
    let mut texts = vec![("graph", model.forward.to_string()), ("backward", backward(&model.training))];
    let config = Config { keep_text: true, ..Config::default() };
    // Other tests may have compiled the same graph.
    clear_cache();
    compile(&model.training, &config, &mut |event| match &event.artifact {
        Artifact::Graph(_) => {}
        Artifact::Optimized(graph, _) => texts.push(("optimized", graph.to_string())),
        Artifact::Program(program) => {
            texts.push(("lowered", program.to_string()));
            texts.push(("memory", inspect::memory(program)));
        }
        Artifact::Code(code) if is_reference_machine() => {
            texts.push(("clif", inspect::clif(code)));
            texts.push(("asm", inspect::asm(code)));
        }
        Artifact::Code(_) => {}
    })
    .expect("it compiles");
    texts
}

/// Machine code depends on what the machine can do: that of one kind is pinned.
fn is_reference_machine() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// The joint graph with what it says as formulas.
fn backward(graph: &Graph) -> String {
    let config = optimize::Config { egraph: false, ..Default::default() };
    let (simple, _) = optimize::optimize(graph, &config).expect("it is well formed");
    format!("{}\n\n{graph}", inspect::formulas(&simple).join("\n"))
}

#[test]
fn linear() {
    for (stage, text) in stages("linear", 1) {
        insta::assert_snapshot!(format!("linear_{stage}"), text);
    }
}

#[test]
fn mlp() {
    for (stage, text) in stages("mlp", 8) {
        insta::assert_snapshot!(format!("mlp_{stage}"), text);
    }
}
