//! How rewriting in the e-graph goes on and ends.

use super::{decisions::mlp, regions::blocks};
use crate::{
    Config, Stop,
    extract::{Choices, extract},
    notes::Notes,
    regions::Region,
    rule::{self, Form},
    saturate::{REACH, saturate},
    tier0,
};

#[test]
fn what_comes_after_the_cap_of_a_rule_comes_in_a_later_round() {
    let region = Region::whole(blocks(10, &[]));
    let [all, few] = [500, 1].map(|matches_per_rule| {
        let config = Config { matches_per_rule, iterations: 100, ..Config::default() };
        let saturated = saturate(&region, &config, &mut Notes::default()).unwrap();
        assert!(saturated.saturation.stops.contains_key(&Stop::Saturated));
        let choices = Choices::new(&region, &saturated, &config);
        let (best, candidates) = extract(&region, &choices, config.extraction);
        (best.expect("dots are composed").0, candidates, saturated.saturation)
    });
    assert!(few.2.iterations > 5 * all.2.iterations, "{few:?}");
    assert_eq!((few.0, few.1, few.2.nodes), (all.0, all.1, all.2.nodes));
}

#[test]
fn work_grows_as_the_graph_does() {
    let config = Config::default();
    let [small, middle, large] = [10, 20, 40].map(|layers| {
        let (graph, _) = tier0::tier0(&mlp(4, &vec![5; layers]), &config, &mut Notes::default()).unwrap();
        let saturated = saturate(&Region::whole(graph), &config, &mut Notes::default()).unwrap();
        (saturated.saturation.nodes + saturated.applications.len()) as f64
    });
    let ratio = (large - middle) / (middle - small);
    assert!((1.8..2.2).contains(&ratio), "{small}, {middle}, {large}");
}

/// Every bound may end it at any time: what was given is always among the candidates.
#[test]
fn stopping_early_is_safe() {
    let region = Region::whole(mlp(4, &[6, 5, 3]));
    for (iterations, growth, matches_per_rule) in
        [(0, 10, 500), (1, 10, 1), (6, 1, 500), (6, 0, 1), (6, 10, 0)]
    {
        let config = Config { iterations, growth, matches_per_rule, ..Config::default() };
        let saturated = saturate(&region, &config, &mut Notes::default()).unwrap();
        assert!(!saturated.saturation.stops.contains_key(&Stop::Saturated), "{config:?}");
        let choices = Choices::new(&region, &saturated, &config);
        let (_, candidates) = extract(&region, &choices, config.extraction);
        let input = candidates.iter().find(|c| c.name == "input").expect("the input is one");
        assert!(candidates[0].cost <= input.cost, "{candidates:?}");
    }
}

/// Users within reach of what has changed are tried again: so many levels below its root may a pattern's nodes be.
#[test]
fn patterns_look_no_further_than_changes_reach() {
    for compiled in rule::all() {
        if let Form::Pattern { lhs, .. } = compiled.rule.form {
            let mut depth = 0;
            let depths = lhs.chars().map(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth
            });
            assert!(depths.max().unwrap() <= 1 + REACH as i32, "{}: {lhs}", compiled.rule.name);
        }
    }
}
