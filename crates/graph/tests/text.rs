//! The text form: mistakes have a place, and no text makes the parser panic.

use bespoke_graph::{parse, philox};

const EXAMPLE: &str = r#"graph {
  %0 = input {name="x"} : f32[2,3]
  %1 = state {name="dense0/weight"} : f32[3,2]
  %2 = dot %0, %1 {contract=[1]x[0]} : f32[2,2]
  %3 = constant {values=(0.5, -inf, nan, 1e-45)} : f32[4]
  %4 = reshape %3 : f32[2,2]
  %5 = add %2, %4 : f32[2,2]
  %6 = pad %0, %7 {low=[0,1], high=[0,0], inner=[1,0]} : f32[3,4]
  output "y" = %5
  next "dense0/weight" = %1
}
"#;

fn example() -> String {
    let scalar = "  %7 = constant {value=-0} : f32[]\n";
    EXAMPLE.replace("  %6 =", &format!("{scalar}  %6 ="))
}

/// The message for a text with one thing replaced.
fn message(from: &str, to: &str) -> String {
    let text = example();
    assert!(text.contains(from), "{from}");
    parse(&text.replacen(from, to, 1)).expect_err("the text is wrong").to_string()
}

#[test]
fn mistakes_have_a_place() {
    assert!(parse(&example()).is_ok());
    for (from, to, expected) in [
        ("graph {", "grph {", "line 1, column 1: expected `graph`, got `grph`"),
        ("graph {", "graph", "line 1, column 6: expected `{`, got the end of the line"),
        ("dot %0, %1", "dott %0, %1", "line 4, column 8: there is no operator `dott`"),
        ("dot %0, %1", "dot %0, %9", "line 4, column 16: %9 is not defined before its use"),
        ("dot %0, %1", "dot %0 %1", "line 4, column 15: expected `,`, got `%1`"),
        ("dot %0, %1", "dot %0, ", "line 4, column 17: expected `%`, got `{contract=[1]x[0]}`"),
        ("%1 = state", "%0 = state", "line 3, column 3: %0 is defined twice"),
        ("{contract=[1]x[0]}", "{contract=[1]x[0], axis=1}", "line 4, column 8: dot has no attribute `axis`"),
        (
            "{contract=[1]x[0]}",
            "{contract=[1]}",
            "line 4, column 8: dot: `contract`: expected a pair of lists such as [1]x[0], got [1]",
        ),
        ("{name=\"x\"}", "", "line 2, column 8: input: the attribute `name` is missing"),
        ("name=\"x\"", "name=\"x", "line 2, column 20: the name has no closing quote"),
        (
            "f32[2,2]\n  %3",
            "f32[2,5]\n  %3",
            "line 4, column 40: the result of dot is f32[2,2], got f32[2,5]",
        ),
        (
            "(0.5, -inf, nan, 1e-45)",
            "(0.5, -inf)",
            "line 5, column 8: constant: `values`: f32[4] has 4 elements, got 2",
        ),
        (
            "(0.5, -inf, nan, 1e-45)",
            "(0.5, x, nan, 1e-45)",
            "line 5, column 8: constant: `x` is not of type f32",
        ),
        (
            "add %2, %4",
            "add %2, %3",
            "line 7, column 8: add(f32[2,2], f32[4]): expected two operands of one type, got f32[2,2] and f32[4]",
        ),
        ("output \"y\" = %5", "output y = %5", "line 10, column 10: expected a quoted name, got `y`"),
        ("output \"y\" = %5", "outputs \"y\" = %5", "line 10, column 3: expected `output`, got `outputs`"),
        ("next \"dense0/weight\"", "next \"w\"", "line 11, column 11: there is no state `w`"),
    ] {
        assert_eq!(message(from, to), expected, "`{from}` became `{to}`");
    }
    assert_eq!(
        parse("").unwrap_err().to_string(),
        "line 1, column 1: expected `graph {`, got the end of the line"
    );
    assert_eq!(
        parse("graph {\n").unwrap_err().to_string(),
        "line 2, column 1: expected `}`, got the end of the line"
    );
    assert_eq!(
        parse("graph {\n}\nx").unwrap_err().to_string(),
        "line 3, column 1: expected the end of the text, got `x`"
    );
}

#[test]
fn columns_count_characters() {
    let text = "graph {\n  %0 = input {name=\"größe\"} : f23[]\n}";
    let error = parse(text).unwrap_err();
    assert_eq!((error.line, error.column), (2, 31), "{error}");
}

#[test]
fn names_are_escaped() {
    for name in ["a\nb", "tab\t", "quote\"", "back\\slash", "\u{7f}\u{200b}é", "", "nul\0", "\r"] {
        let mut g = bespoke_graph::Graph::new();
        let x = g.input(name, "f32[]".parse().unwrap()).unwrap();
        g.set_output(name, x).unwrap();
        let again = parse(&g.to_string()).unwrap_or_else(|e| panic!("{name:?}: {e}\n{g}"));
        assert_eq!(again, g);
    }
}

#[test]
fn numbers_comments_and_blank_lines_are_free() {
    let text = "// a comment\n\ngraph { // here\n  %9 = input {name=\"x\"} : f32[] // and there\n\n  output \"y\" = %9\n}\n// end\n";
    assert_eq!(
        parse(text).unwrap().to_string(),
        "graph {\n  %0 = input {name=\"x\"} : f32[]\n  output \"y\" = %0\n}\n"
    );
}

/// Every cut of the text, and many random changes of it, give a graph or an error.
#[test]
fn no_text_makes_the_parser_panic() {
    let text = example();
    for (end, _) in text.char_indices() {
        let _ = parse(&text[..end]);
        let _ = parse(&text[end..]);
        let mut without = text.clone();
        without.remove(end);
        let _ = parse(&without);
    }
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "\"",
        "\\",
        "%",
        ",",
        ":",
        "=",
        "x",
        "-",
        "%0",
        "%99999999999",
        "9",
        "-1",
        "0",
        "\\u{",
        "\\u{110000}",
        "é",
        "18446744073709551615",
        "9223372036854775807",
        "nan",
        "bool[8]",
        "f32[0,9]",
        "//",
        "\n",
        "  ",
        "i64[9223372036854775807]",
        "slice",
        "gather",
        "iota {axis=0}",
        "broadcast",
        "constant",
    ];
    for seed in 0..20_000u32 {
        let words = philox::block([seed, 0, 0, 0], [1, 2]);
        let mut changed = text.clone();
        for word in &words[..1 + words[3] as usize % 3] {
            let places: Vec<usize> = changed.char_indices().map(|c| c.0).collect();
            let at = places[*word as usize % places.len()];
            let piece = pieces[(*word >> 16) as usize % pieces.len()];
            if word & 1 == 0 {
                changed.insert_str(at, piece);
            } else {
                let end =
                    places[places.partition_point(|p| *p <= at)..].first().copied().unwrap_or(changed.len());
                changed.replace_range(at..end, piece);
            }
        }
        if let Ok(graph) = parse(&changed) {
            assert_eq!(bespoke_graph::verify(&graph), Vec::<String>::new(), "{changed}");
            assert_eq!(parse(&graph.to_string()).unwrap(), graph, "{changed}");
        }
    }
}
