//! Which inputs and constants serve as indices.

use bespoke_graph::{Graph, IndexInput, check_constant_indices, index_inputs, op, parse};
use bespoke_tensor::Tensor;

fn graph(text: &str) -> Graph {
    parse(text).unwrap()
}

#[test]
fn indices_are_found_behind_what_only_moves_them() {
    let g = graph(
        r#"graph {
  %0 = input {name="table"} : f32[10,4]
  %1 = input {name="words"} : i32[2,6]
  %2 = input {name="more"} : i32[2,3]
  %3 = slice %1 {limit=[2,6], start=[0,1], step=[1,2]} : i32[2,3]
  %4 = reverse %2 {axes=[1]} : i32[2,3]
  %5 = reshape %4 : i32[6]
  %6 = convert %5 : i64[6]
  %7 = gather %0, %3 {axis=0} : f32[2,3,4]
  %8 = gather %0, %6 {axis=1} : f32[10,6]
  output "a" = %7
  output "b" = %8
}
"#,
    );
    let found = index_inputs(&g);
    let named = |name: &str| found.iter().find(|i| i.input == name).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(*named("more"), IndexInput { input: "more".to_owned(), extent: 4, part: None });
    // Only every other word from the second on is an index.
    let words = |i: usize, word: i32| {
        let mut words = vec![3; 12];
        words[i] = word;
        named("words").first_outside(&Tensor::from_vec([2, 6], words).unwrap())
    };
    assert_eq!((words(0, 99), words(2, -1), words(6, 10)), (None, None, None));
    assert_eq!((words(1, 10), words(3, -1), words(11, 99)), (Some((1, 10)), Some((3, -1)), Some((11, 99))));
    assert_eq!(words(1, 9), None);
}

#[test]
fn what_is_computed_is_not_known_before_a_run() {
    let g = graph(
        r#"graph {
  %0 = input {name="table"} : f32[10]
  %1 = input {name="i"} : i64[3]
  %2 = add %1, %1 : i64[3]
  %3 = convert %1 : u8[3]
  %4 = gather %0, %2 {axis=0} : f32[3]
  %5 = gather %0, %3 {axis=0} : f32[3]
  output "a" = %4
  output "b" = %5
}
"#,
    );
    assert_eq!(index_inputs(&g), []);
}

#[test]
fn loops_are_looked_into() {
    let text = r#"graph {
  body @0 {
    %0 = input {name="h"} : f32[4]
    %1 = input {name="word"} : i32[1]
    %2 = input {name="table"} : f32[10,4]
    %3 = constant {values=(1)} : i32[1]
    %4 = gather %2, %1 {axis=0} : f32[1,4]
    %5 = gather %2, %3 {axis=0} : f32[1,4]
    %6 = add %4, %5 : f32[1,4]
    %7 = reshape %6 : f32[4]
    %8 = add %0, %7 : f32[4]
    output "h" = %8
  }
  %0 = input {name="h"} : f32[4]
  %1 = input {name="words"} : i32[5,1]
  %2 = input {name="table"} : f32[10,4]
  %3 = scan %0, %1, %2 {body=@0, carried=1, length=5, result=0, stepped=1} : f32[4]
  output "h" = %3
}
"#;
    let found = index_inputs(&graph(text));
    assert_eq!(found, [IndexInput { input: "words".to_owned(), extent: 10, part: None }]);
    assert!(check_constant_indices(&graph(text)).is_ok());
    // Whichever of the results is asked for.
    let second = text.replace("    output \"h\" = %8\n", "    output \"h\" = %8\n    output \"y\" = %6\n");
    let second = second.replace("result=0, stepped=1} : f32[4]", "result=1, stepped=1} : f32[5,1,4]");
    assert!(check_constant_indices(&graph(&second.replace("values=(1)", "values=(10)"))).is_err());
    let mistake = check_constant_indices(&graph(&text.replace("values=(1)", "values=(10)"))).unwrap_err();
    assert_eq!(mistake.to_string(), "gather(f32[10,4], i32[1]): index 10 is out of range, expected 0 to 9");
}

#[test]
fn what_is_joined_with_itself_is_followed_once() {
    let mut g = Graph::new();
    let table = g.input("table", "f32[5]".parse().unwrap()).unwrap();
    let mut index = g.input("i", "i32[0]".parse().unwrap()).unwrap();
    for _ in 0..100 {
        index = g.must(op::Concatenate { axis: 0 }, &[index, index]);
    }
    let y = g.must(op::Gather { axis: 0, batch: 0 }, &[table, index]);
    g.set_output("y", y).unwrap();
    assert_eq!(index_inputs(&g), [IndexInput { input: "i".to_owned(), extent: 5, part: None }]);
}

#[test]
fn constants_and_counts_are_refused_if_they_point_at_nothing() {
    let text = |indices: &str| {
        format!(
            r#"graph {{
  %0 = input {{name="x"}} : f32[3,2]
  %1 = {indices} : i32[4]
  %2 = slice %1 {{limit=[4], start=[1], step=[2]}} : i32[2]
  %3 = gather %0, %2 {{axis=0}} : f32[2,2]
  output "y" = %3
}}
"#
        )
    };
    let check = |indices: &str| check_constant_indices(&graph(&text(indices))).map_err(|e| e.rule);
    assert_eq!(check("constant {values=(9, 0, 9, 2)}"), Ok(()));
    let outside = |n: i64| Err(format!("index {n} is out of range, expected 0 to 2"));
    assert_eq!(check("constant {values=(0, -1, 0, 2)}"), outside(-1));
    assert_eq!(check("iota {axis=0}"), outside(3));
    assert_eq!(check("constant {values=(0, 0, 0, 3)}"), outside(3));
}
