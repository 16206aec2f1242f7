//! The program as users and scripts meet it: texts, files, exit codes.

use std::{
    path::Path,
    process::{Command, Output},
};

use bespoke_tensor::{
    Tensor,
    npy::{read_npy, write_npy},
};

fn bespoke(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bespoke"))
        .env("BESPOKE_CACHE", "no-such-directory")
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output of a success.
fn text(arguments: &[&str]) -> String {
    let output = bespoke(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a failure of the program's own.
fn failure(arguments: &[&str]) -> String {
    let output = bespoke(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

const SQUARE: &str = r#"graph {
  %0 = input {name="x"} : f32[2]
  %1 = state {name="sum"} : f32[2]
  %2 = mul %0, %0 : f32[2]
  %3 = mul %2, %0 : f32[2]
  %4 = reduce_sum %3 {axes=[0]} : f32[]
  %5 = add %1, %0 : f32[2]
  output "cubes" = %4
  next "sum" = %5
}
"#;

/// A folder with a graph and a value for its input.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("g.ir"), SQUARE).unwrap();
    write_npy(dir.path().join("x.npy"), &Tensor::from_vec([2], vec![1.0f32, -2.0]).unwrap()).unwrap();
    dir
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

#[test]
fn models_and_stages_are_shown() {
    assert!(text(&["models"]).starts_with("linear\nmlp\nlenet5\n"));
    assert!(text(&["summary", "mlp"]).ends_with("parameters: 535,818\n"));
    for stage in ["graph", "backward", "optimized", "lowered", "clif", "asm", "memory"] {
        assert!(text(&["inspect", "linear", "--stage", stage]).len() > 100, "{stage}");
    }
    assert!(text(&["inspect", "linear", "--stage", "backward"]).contains("// w ← w − η·δ·x\n"));
    // Graph stages are texts that the program reads.
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "linear.ir");
    for stage in ["graph", "backward", "optimized"] {
        std::fs::write(&file, text(&["inspect", "linear", "--stage", stage])).unwrap();
        assert!(text(&["inspect", &file]).starts_with("graph {"), "{stage}");
    }
}

const LOG_SIGMOID: &str = r#"graph {
  %0 = input {name="x"} : f32[6]
  %1 = sigmoid %0 : f32[6]
  %2 = log %1 : f32[6]
  output "y" = %2
}
"#;

fn joined<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<&'a str> {
    [a, b].concat()
}

#[test]
fn a_node_of_the_optimized_graph_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "g.ir");
    std::fs::write(&file, LOG_SIGMOID).unwrap();
    let optimized = ["inspect", &file, "--stage", "optimized"];
    assert!(text(&optimized).contains("  %3 = neg %2 : f32[6]\n"));
    let why = text(&joined(&optimized, &["--why", "%3"]));
    assert!(
        why.starts_with("%3 = neg %2 : f32[6]\n  is equal to %2 of the graph given, log %1 : f32[6]"),
        "{why}"
    );
    assert!(why.contains("functions/log-sigmoid  (log (sigmoid ?x)) → (neg (softplus (neg ?x)))"), "{why}");
    assert!(why.contains("used by output \"y\""), "{why}");
    let proof = text(&joined(&optimized, &["--why", "3", "--proof"]));
    let steps = proof.strip_prefix(&why).unwrap_or_else(|| panic!("{proof}"));
    assert_eq!(steps, "\n  log(σ(x))\n= −softplus(−x)\n    by functions/log-sigmoid\n");
    // Durations come on request only, and graphs stay readable with them.
    assert!(!text(&optimized).contains("saturation"));
    let timed = text(&joined(&optimized, &["--time"]));
    assert!(timed.contains("saturation") && timed.contains(" searches\n"), "{timed}");
    std::fs::write(&file, timed).unwrap();
    text(&["inspect", &file]);

    std::fs::write(&file, LOG_SIGMOID).unwrap();
    let there = "there is no %17 in the optimised graph; its nodes are %0 to %3";
    assert!(failure(&joined(&optimized, &["--why", "%17"])).contains(there));
    for name in ["seventeen", "", "%", "%-1", "99999999999"] {
        let why = format!("--why={name}");
        assert!(failure(&joined(&optimized, &[&why])).contains(&format!("`{name}` is no node")), "{name}");
    }
    assert!(failure(&["inspect", &file, "--why", "%3"]).contains("for --stage optimized"));
    assert_eq!(bespoke(&joined(&optimized, &["--proof"])).status.code(), Some(2));
}

#[test]
fn a_graph_runs_in_every_way_alike() {
    let dir = folder();
    let (g, x) = (path(dir.path(), "g.ir"), format!("x={}", path(dir.path(), "x.npy")));
    for (i, flags) in [&[][..], &["--no-optimize"], &["--eval"], &["--threads", "1"]].iter().enumerate() {
        let out = path(dir.path(), &format!("out{i}/deep"));
        let all = [&["run", &g, "--input", &x, "--output", &out][..], flags].concat();
        assert_eq!(text(&all), "cubes: f32[]\nsum: f32[2]\n");
        let read = |name: &str| read_npy(Path::new(&out).join(name)).unwrap();
        assert_eq!(read("cubes.npy"), Tensor::scalar(-7.0f32));
        assert_eq!(read("sum.npy"), Tensor::from_vec([2], vec![1.0f32, -2.0]).unwrap());
    }
}

#[test]
fn gradients_of_any_order_are_graphs_again() {
    let dir = folder();
    let first = path(dir.path(), "first.ir");
    std::fs::write(&first, text(&["grad", &path(dir.path(), "g.ir"), "--of", "cubes", "--wrt", "x"]))
        .unwrap();
    let x = format!("x={}", path(dir.path(), "x.npy"));
    let out = path(dir.path(), "out");
    text(&["run", &first, "--input", &x, "--output", &out]);
    // d/dx Σx³ = 3x²
    assert_eq!(
        read_npy(Path::new(&out).join("d_x.npy")).unwrap(),
        Tensor::from_vec([2], vec![3.0f32, 12.0]).unwrap()
    );
    let message = failure(&["grad", &first, "--of", "d_x", "--wrt", "x"]);
    assert!(message.contains("expected a loss of one float, got f32[2]"), "{message}");
    // A second order: of the first gradient's sum.
    let mut lines: Vec<String> =
        std::fs::read_to_string(&first).unwrap().lines().map(str::to_owned).collect();
    let gradient = lines.iter().find_map(|l| l.trim().strip_prefix("output \"d_x\" = ")).unwrap().to_owned();
    let at = lines.iter().position(|l| l.contains("output")).unwrap();
    lines.insert(at, format!("  %99 = reduce_sum {gradient} {{axes=[0]}} : f32[]\n  output \"s\" = %99"));
    std::fs::write(&first, lines.join("\n")).unwrap();
    let second = path(dir.path(), "second.ir");
    std::fs::write(&second, text(&["grad", &first, "--of", "s", "--wrt", "x"])).unwrap();
    text(&["run", &second, "--input", &x, "--output", &out]);
    // Σ3x² → 6x
    assert_eq!(
        read_npy(Path::new(&out).join("d_d_x.npy")).unwrap(),
        Tensor::from_vec([2], vec![6.0f32, -12.0]).unwrap()
    );
}

#[test]
fn bench_prints_one_object_with_all_keys() {
    for mode in [&["--steps", "3"][..], &["--query", "--steps", "3"], &["--compile-only"]] {
        let json =
            text(&[&["bench", "linear", "--batch", "4", "--threads", "1", "--json"][..], mode].concat());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for key in [
            "model",
            "batch",
            "threads",
            "mode",
            "compile_ms",
            "step_ms",
            "samples_per_s",
            "flop",
            "arena_bytes",
            "code_bytes",
            "kernels",
        ] {
            assert!(value.get(key).is_some(), "{key}: {json}");
        }
        assert!(value["compile_ms"]["total"].as_f64().unwrap() > 0.0);
        if mode[0] != "--compile-only" {
            assert_eq!(value["step_ms"]["runs"], 3);
            assert!(
                value["step_ms"]["median"].as_f64().unwrap() >= value["step_ms"]["min"].as_f64().unwrap()
            );
        }
    }
}

#[test]
fn workloads_are_measured_in_lines_as_other_systems_are() {
    let lines = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let short = ["--threads", "1", "--steps", "2", "--json"];
        let json = text(&[&["bench"][..], arguments, &short].concat());
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Each in a process of its own.
    let mlps = lines(&["W1"]);
    let names: Vec<&str> = mlps.iter().map(|line| line["workload"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["W1-b1"; 3]);
    assert_eq!(names[3..6], ["W1-b16"; 3]);
    assert_eq!(names[6..], ["W1-b128"; 3]);
    let metrics: Vec<&str> = mlps[..3].iter().map(|line| line["metric"].as_str().unwrap()).collect();
    assert_eq!(metrics, ["us", "first_step_ms", "peak_mib"]);
    let dots = lines(&["W11-32x32x32"]);
    assert_eq!(dots.len(), 1);
    for line in mlps.iter().chain(&dots) {
        assert_eq!((&line["peer"], &line["threads"]), (&"bespoke".into(), &1.into()));
        let [median, least] = ["median", "min"].map(|key| line[key].as_f64().unwrap());
        assert!(0.0 < least && least <= median, "{line}");
        if line["metric"] == "us" {
            let [limit, share] = ["limit_us", "of_limit"].map(|key| line[key].as_f64().unwrap());
            assert!(limit > 0.0 && (limit / median / share - 1.0).abs() < 1e-3, "{line}");
        }
    }
    let table = text(&["bench", "W10-2^10", "--threads", "1", "--steps", "2"]);
    assert!(table.lines().nth(1).unwrap().starts_with("W10-2^10 "), "{table}");

    let fixed = failure(&["bench", "W4", "--batch", "3"]);
    assert!(fixed.contains("bench W4: only --threads, --steps and --json go with workloads"), "{fixed}");
    assert!(
        failure(&["bench", "W12"]).contains("there is no workload `W12`; the workloads are W1-b1, W1-b16,")
    );
}

#[test]
fn mistakes_are_named_and_exit_with_1() {
    let dir = folder();
    let at = |name: &str| path(dir.path(), name);
    let (g, x, out) = (at("g.ir"), format!("x={}", at("x.npy")), at("out"));
    let run = |extra: &[&str]| failure(&[&["run", &g, "--output", &out][..], extra].concat());
    let unknown = failure(&["summary", "resnet"]);
    let expected = "bespoke: there is no model `resnet`; the models are linear, mlp, lenet5";
    assert!(unknown.starts_with(expected), "{unknown}");
    assert!(failure(&["inspect", "nothing.ir"]).contains("nothing.ir: No such file"));
    assert!(run(&[]).contains("input `x` (f32[2]) is missing"));
    assert!(run(&["--eval"]).contains("input `x` of type f32[2] has no value"));
    assert!(
        run(&["--input", &format!("y={}", at("x.npy"))])
            .contains("there is no input or state `y`; there are x, sum")
    );
    write_npy(at("wide.npy"), &Tensor::from_vec([3], vec![0.0f32; 3]).unwrap()).unwrap();
    assert!(run(&["--input", &format!("x={}", at("wide.npy"))]).contains("input `x`: expected f32[2]"));
    write_npy(at("double.npy"), &Tensor::from_vec([2], vec![0.0f64; 2]).unwrap()).unwrap();
    assert!(run(&["--input", &format!("x={}", at("double.npy"))]).contains("holds f64[2]"));
    let whole = std::fs::read(at("x.npy")).unwrap();
    for length in [0, 5, 20, whole.len() - 1] {
        std::fs::write(at("short.npy"), &whole[..length]).unwrap();
        assert!(run(&["--input", &format!("x={}", at("short.npy"))]).contains("short.npy"));
    }
    for length in (0..SQUARE.len() - 2).step_by(7) {
        std::fs::write(at("short.ir"), &SQUARE[..length]).unwrap();
        assert!(failure(&["inspect", &at("short.ir")]).contains("short.ir: line "), "{length}");
    }
    std::fs::write(at("wrong.ir"), SQUARE.replace("mul %0, %0", "mul %0, %7")).unwrap();
    assert!(
        failure(&["inspect", &at("wrong.ir")])
            .contains("wrong.ir: line 4, column 16: %7 is not defined before its use")
    );
    std::fs::write(at("file"), "").unwrap();
    assert!(failure(&["run", &g, "--input", &x, "--output", &at("file/inside")]).contains("file/inside"));
    std::fs::write(at("escape.ir"), SQUARE.replace("\"cubes\"", "\"../cubes\"")).unwrap();
    assert!(
        failure(&["run", &at("escape.ir"), "--input", &x, "--output", &out])
            .contains("`../cubes` cannot be that of a file")
    );
    assert!(
        failure(&["grad", &g, "--of", "loss", "--wrt", "x"])
            .contains("there is no output `loss`; the outputs are cubes")
    );
    assert!(
        failure(&["grad", &g, "--of", "cubes", "--wrt", "sum"]).contains("does not depend differentiably on")
    );
    assert!(failure(&["bench", "mlp", "--batch", "0"]).contains("the batch must be at least 1"));
    let labels = "graph {\n  %0 = input {name=\"t\"} : f32[3]\n  %1 = input {name=\"i\"} : i32[1]\n  %2 = gather %0, %1 {axis=0} : f32[1]\n  output \"y\" = %2\n}\n";
    std::fs::write(at("pick.ir"), labels).unwrap();
    write_npy(at("t.npy"), &Tensor::from_vec([3], vec![0.0f32; 3]).unwrap()).unwrap();
    write_npy(at("i.npy"), &Tensor::from_vec([1], vec![3i32]).unwrap()).unwrap();
    let inputs = [format!("t={}", at("t.npy")), format!("i={}", at("i.npy"))];
    let message =
        failure(&["run", &at("pick.ir"), "--input", &inputs[0], "--input", &inputs[1], "--output", &out]);
    assert!(message.contains("input `i`: element 0 is 3, expected 0 to 2"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["inspect"],
        &["inspect", "mlp", "--stage", "dreams"],
        &["run", "g.ir", "--input", "x", "--output", "o"],
    ] {
        assert_eq!(bespoke(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn more_than_there_is_memory_for_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (g, out) = (path(dir.path(), "huge.ir"), path(dir.path(), "out"));
    let node = "%1 = broadcast %0 {axes=[]} : f32[1000000,1000000]";
    let graph = format!("graph {{\n  %0 = constant {{value=1}} : f32[]\n  {node}\n  output \"y\" = %1\n}}\n");
    std::fs::write(&g, graph).unwrap();
    for flags in [&[][..], &["--no-optimize"], &["--eval"]] {
        let message = failure(&[&["run", &g, "--output", &out][..], flags].concat());
        assert!(message.contains("there is no memory for f32[1000000,1000000]"), "{message}");
    }
}

#[test]
fn results_of_one_name_do_not_overwrite_each_other() {
    let dir = folder();
    let g = path(dir.path(), "g.ir");
    std::fs::write(&g, SQUARE.replace("\"cubes\"", "\"sum\"")).unwrap();
    let x = format!("x={}", path(dir.path(), "x.npy"));
    let message = failure(&["run", &g, "--input", &x, "--output", &path(dir.path(), "out")]);
    assert!(message.contains("an output and a state that changes are both named `sum`"), "{message}");
}

#[test]
fn signs_of_unsigned_integers_are_left_alone_by_rewriting() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| path(dir.path(), name);
    let graph = "graph {\n  %0 = input {name=\"x\"} : u8[4]\n  %1 = neg %0 : u8[4]\n  %2 = abs %1 : u8[4]\n  output \"y\" = %2\n}\n";
    std::fs::write(at("g.ir"), graph).unwrap();
    write_npy(at("x.npy"), &Tensor::from_vec([4], vec![0u8, 255, 0, 7]).unwrap()).unwrap();
    let x = format!("x={}", at("x.npy"));
    for flags in [&[][..], &["--no-optimize"], &["--eval"]] {
        let out = at("out");
        text(&[&["run", &at("g.ir"), "--input", &x, "--output", &out][..], flags].concat());
        let y = read_npy(Path::new(&out).join("y.npy")).unwrap();
        assert_eq!(y, Tensor::from_vec([4], vec![0u8, 1, 0, 249]).unwrap(), "{flags:?}");
    }
}

#[test]
fn a_long_chain_of_values_used_twice_compiles() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| path(dir.path(), name);
    let mut lines = vec!["graph {".to_owned(), "  %0 = input {name=\"x\"} : f32[3]".to_owned()];
    lines.extend((0..60).map(|i| format!("  %{} = max %{i}, %{i} : f32[3]", i + 1)));
    lines.push("  output \"y\" = %60\n}".to_owned());
    std::fs::write(at("g.ir"), lines.join("\n")).unwrap();
    write_npy(at("x.npy"), &Tensor::from_vec([3], vec![1.0f32, -2.0, 0.5]).unwrap()).unwrap();
    let x = format!("x={}", at("x.npy"));
    for flags in [&[][..], &["--no-optimize"]] {
        text(&[&["run", &at("g.ir"), "--input", &x, "--output", &at("out")][..], flags].concat());
    }
}

#[test]
fn a_machine_is_measured_once_and_a_damaged_table_of_it_does_not_count() {
    let cache = tempfile::tempdir().unwrap();
    let with_cache = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
        let output =
            command.env("BESPOKE_CACHE", cache.path().join("deep")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let kept = cache.path().join("deep/machine.json");
    let shown = with_cache(&["calibrate", "--dry-run"]);
    assert!(shown.contains("dots in f32") && !kept.exists(), "{shown}");

    // The optimiser's report tells the modelled time.
    let report = ["inspect", "mlp", "--stage", "optimized"];
    let modelled = |text: String| text.lines().find(|l| l.contains("modelled time")).unwrap().to_owned();
    let fixed = modelled(text(&report));
    assert_eq!(modelled(with_cache(&report)), fixed);
    let shown = with_cache(&["calibrate"]);
    assert!(shown.contains(&format!("kept in {}", kept.display())), "{shown}");
    assert_ne!(modelled(with_cache(&report)), fixed);
    let whole = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(modelled(with_cache(&report)), fixed);
}
